import msgspec
import pytest

from parlour.conversation import content
from parlour.conversation.content import GroupDetails, ResendRequest, Resent, Text, Unknown
from parlour.conversation.sync import DeviceListGiven
from parlour.errors import Code, ParlourError


@pytest.mark.parametrize(
    "value",
    [
        Text(""),
        Text("words 🙂" * 1000),
        ResendRequest(bytes(16), bytes(16), "unreadable.no_part"),
        Resent(bytes(16), 1, b"content"),
    ],
)
def test_comes_back_as_it_was(value: content.Content) -> None:
    assert content.decode(content.encode(value)) == value


@pytest.mark.parametrize("head", [(1, 2), (2, 1), (0xFFFF, 0xFFFF)])
def test_what_is_not_known_is_kept_as_it_came(head: tuple[int, int]) -> None:
    raw = msgspec.msgpack.encode((*head, {"new": [1, 2]}))
    value = content.decode(raw)
    assert value == Unknown(*head, raw)
    assert content.encode(value) == raw


def test_too_long_a_text_is_refused_by_the_sender_and_by_the_reader() -> None:
    with pytest.raises(ParlourError) as caught:
        content.encode(Text("x" * 10_001))
    assert caught.value.code is Code.LIMIT_SIZE
    raw = msgspec.msgpack.encode((1, 1, ["x" * 10_001]))
    with pytest.raises(ParlourError) as caught:
        content.decode(raw)
    assert caught.value.code is Code.DECODE_MALFORMED
    with pytest.raises(ParlourError) as caught:
        content.decode(bytes(content.MAX_ENCODED + 1))
    assert caught.value.code is Code.DECODE_OVERSIZED


def test_text_that_is_not_text_is_malformed() -> None:
    """Not an exception that nobody expects: the sender would stop the reader by it."""
    with pytest.raises(ParlourError) as caught:
        content.decode(b"\x93\x01\x01\x91\xa2\xff\xfe")
    assert caught.value.code is Code.DECODE_MALFORMED


def test_the_longest_text_fits() -> None:
    longest = Text("\U0001f642" * content.MAX_TEXT)
    assert content.decode(content.encode(longest)) == longest


def test_reprs_tell_nothing() -> None:
    assert repr(Text("secret")) == "Text([6 characters])"
    assert "secret" not in repr(Resent(bytes(16), 1, b"secret"))
    assert "secret" not in repr(Unknown(1, 9, b"secret"))
    assert repr(GroupDetails("secret", bytes(16))) == "GroupDetails([6 characters])"
    assert repr(DeviceListGiven(b"secret")) == "DeviceListGiven([6 bytes])"
