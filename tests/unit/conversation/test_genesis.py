from dataclasses import replace

import pytest

from parlour.conversation.genesis import Genesis, between, check_between, hash_of
from parlour.errors import Code, ParlourError
from parlour.wire.envelope import SuiteId

_ONE, _OTHER = b"1" * 16, b"2" * 16


def test_both_sides_make_the_same_one() -> None:
    genesis = between(_ONE, _OTHER)
    assert genesis == between(_OTHER, _ONE) == Genesis.decode(genesis.encode())
    assert check_between(genesis.encode(), _OTHER, _ONE) == genesis
    assert hash_of(genesis.encode()) == genesis.hash()
    assert between(_ONE, b"3" * 16).hash() != genesis.hash()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + between(_ONE, _OTHER).encode()[1:],
        b"\x01\x09" + between(_ONE, _OTHER).encode()[2:],
        between(_ONE, _OTHER).encode() + b"\x00",
        replace(between(_ONE, _OTHER), suite=SuiteId.DOUBLE_RATCHET_X3DH).encode(),
        replace(between(_ONE, _OTHER), members=(_OTHER, _ONE)).encode(),
        between(_ONE, b"3" * 16).encode(),
        between(_ONE, _ONE).encode(),
    ],
)
def test_only_the_one_that_we_would_make_is_accepted(data: bytes) -> None:
    with pytest.raises(ParlourError) as caught:
        check_between(data, _ONE, _OTHER)
    assert caught.value.code is Code.CONVERSATION_GENESIS
