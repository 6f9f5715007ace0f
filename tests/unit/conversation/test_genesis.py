from dataclasses import replace

import pytest

from parlour.conversation.genesis import Genesis, check_direct, direct, hash_of
from parlour.errors import Code, ParlourError
from parlour.wire.envelope import SuiteId

_ONE, _OTHER = b"1" * 16, b"2" * 16


def test_both_sides_make_the_same_one() -> None:
    genesis = direct(_ONE, _OTHER)
    assert genesis == direct(_OTHER, _ONE) == Genesis.decode(genesis.encode())
    assert check_direct(genesis.encode(), _OTHER, _ONE) == genesis
    assert hash_of(genesis.encode()) == genesis.hash()
    assert direct(_ONE, b"3" * 16).hash() != genesis.hash()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + direct(_ONE, _OTHER).encode()[1:],
        b"\x01\x09" + direct(_ONE, _OTHER).encode()[2:],
        direct(_ONE, _OTHER).encode() + b"\x00",
        replace(direct(_ONE, _OTHER), suite=SuiteId.DOUBLE_RATCHET_X3DH).encode(),
        replace(direct(_ONE, _OTHER), members=(_OTHER, _ONE)).encode(),
        direct(_ONE, b"3" * 16).encode(),
        direct(_ONE, _ONE).encode(),
    ],
)
def test_only_the_one_that_we_would_make_is_accepted(data: bytes) -> None:
    with pytest.raises(ParlourError) as caught:
        check_direct(data, _ONE, _OTHER)
    assert caught.value.code is Code.CONVERSATION_GENESIS
