import msgspec
import pytest

from parlour.errors import Code, DecodeError, ParlourError
from parlour.wire import limits
from parlour.wire.directory import LookUp
from parlour.wire.frames import (
    WIRE_VERSION,
    Frame,
    decode_body,
    decode_frame,
    encode_body,
    encode_frame,
)
from parlour.wire.kinds import Kind
from parlour.wire.login import LoginStart, Sessions
from parlour.wire.server import Nothing

HEAD = bytes((0x94, WIRE_VERSION, Kind.LOOK_UP, 7))
ANNA = LookUp("anna")


def refused(data: bytes, kind: type[object] | None = None) -> Code:
    with pytest.raises(ParlourError) as caught:
        decode_frame(data) if kind is None else decode_body(data, kind)
    assert type(caught.value) is DecodeError
    return caught.value.code


def test_frame_is_these_bytes() -> None:
    assert encode_frame(Kind.LOOK_UP, 7, ANNA) == HEAD + b"\x91\xa4anna"
    assert encode_body(ANNA) == b"\x91\xa4anna"


def test_round_trip() -> None:
    frame = decode_frame(encode_frame(Kind.LOOK_UP, 0xFFFF_FFFF, ANNA))
    assert (frame.version, frame.kind, frame.request_id) == (1, Kind.LOOK_UP, 0xFFFF_FFFF)
    assert decode_body(frame.body, LookUp) == ANNA
    assert decode_body(encode_body(ANNA), LookUp) == ANNA


def test_another_version_is_named() -> None:
    data = msgspec.msgpack.encode((2, 1, 1, Nothing()))
    assert refused(data) is Code.DECODE_VERSION


def test_frame_at_and_beyond_the_bound() -> None:
    room = limits.MAX_FRAME - len(HEAD) - 5
    assert isinstance(decode_frame(HEAD + b"\xc6" + room.to_bytes(4) + bytes(room)), Frame)
    room += 1
    assert refused(HEAD + b"\xc6" + room.to_bytes(4) + bytes(room)) is Code.DECODE_OVERSIZED


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD, id="no body"),
        pytest.param(HEAD + b"\x90\x00", id="trailing byte"),
        pytest.param(b"\x95" + HEAD[1:] + b"\x90\x90", id="a fifth item"),
        pytest.param(b"\x93" + HEAD[1:], id="three items"),
        pytest.param(b"\x84" + HEAD[1:] + b"\x90", id="a map"),
        pytest.param(b"\x94\x01\xff\x07\x90", id="a negative kind"),
        pytest.param(b"\x94\x01\x30\xcf" + b"\xff" * 8 + b"\x90", id="a huge request id"),
        pytest.param(b"\x94\x01\xcb" + bytes(8) + b"\x07\x90", id="a float"),
        pytest.param(b"\x94\xc3\x30\x07\x90", id="a bool"),
        pytest.param(HEAD + b"\xc1", id="a byte that MessagePack never uses"),
        pytest.param(HEAD + b"\x91" * 100_000, id="deep arrays"),
        pytest.param(HEAD + b"\x91" * 100_000 + b"\xc0", id="deep arrays that end"),
        pytest.param(HEAD + b"\x81\xa0" * 100_000 + b"\xc0", id="deep maps"),
        pytest.param(HEAD + b"\xdd\xff\xff\xff\xff", id="a huge array"),
        pytest.param(HEAD + b"\xdf\xff\xff\xff\xff", id="a huge map"),
        pytest.param(HEAD + b"\xc6\xff\xff\xff\xff", id="huge bytes"),
        pytest.param(HEAD + b"\xdb\xff\xff\xff\xff", id="huge text"),
        pytest.param(HEAD + b"\xc9\xff\xff\xff\xff\x01", id="a huge extension"),
        pytest.param(b"\xdd\xff\xff\xff\xff" + HEAD[1:], id="a huge frame"),
    ],
)
def test_malformed_frame(data: bytes) -> None:
    assert refused(data) is Code.DECODE_MALFORMED


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"\x91\xa3\xff\xfe\xfd", LookUp, id="text that is not UTF-8"),
        pytest.param(b"\x91\xa3\xed\xa0\x80", LookUp, id="a surrogate"),
        pytest.param(b"\x91\xa4anna\x00", LookUp, id="trailing byte"),
        pytest.param(b"\x91\xdb\xff\xff\xff\xff", LookUp, id="huge text"),
        pytest.param(b"\x92\xa1a\xc6\xff\xff\xff\xff", LoginStart, id="huge bytes"),
        pytest.param(b"\x92\xa1a\xa1b", LoginStart, id="text for bytes"),
        pytest.param(b"\x92\xc4\x01a\xc4\x01b", LoginStart, id="bytes for text"),
        pytest.param(b"\x91\xdd\xff\xff\xff\xff", Sessions, id="a huge list"),
        pytest.param(b"\xdd\xff\xff\xff\xff", Sessions, id="a huge body"),
        pytest.param(b"\x92\xa4anna" + b"\x91" * 100_000, LookUp, id="a deep later field"),
        pytest.param(b"\x80", Nothing, id="a map"),
        pytest.param(b"\xc0", Nothing, id="nil"),
    ],
)
def test_malformed_body(data: bytes, kind: type[object]) -> None:
    assert refused(data, kind) is Code.DECODE_MALFORMED


def test_refusal_names_the_place() -> None:
    with pytest.raises(DecodeError, match=r"LoginStart: `\$\[0\]`"):
        decode_body(b"\x92\x01\x01", LoginStart)
