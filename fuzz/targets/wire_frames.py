"""Frames and bodies of every kind: a value that means the same when encoded again, or an error."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.wire.body import Body
from parlour.wire.frames import decode_body, decode_frame, encode_body, encode_frame
from parlour.wire.kinds import OPERATIONS, PUSHES, Kind
from parlour.wire.login import LoginStart
from parlour.wire.server import ErrorBody, Nothing
from parlour.wire.streams import LiveStart, Position

_TYPES: Final[tuple[type[Body], ...]] = tuple(Body.__subclasses__())
_BY_KIND: Final = {
    **{kind: (operation.request, operation.response) for kind, operation in OPERATIONS.items()},
    **{kind: (body,) for kind, body in PUSHES.items()},
    Kind.ERROR: (ErrorBody,),
}

SEEDS: Final = [
    encode_frame(Kind.SERVER_INFO, 1, Nothing()),
    encode_frame(Kind.LOGIN_START, 2, LoginStart("anna", bytes(96))),
    encode_frame(
        Kind.LIVE_START, 3, LiveStart(None, bytes(16), [Position(bytes(16), 1 << 40)], 500)
    ),
    encode_frame(Kind.ERROR, 4, ErrorBody("limit.rate", "Too many requests.", "Wait.", 1000)),
    b"\x02\x91\xa3\xff\xfe\xfd",
]


def _read(data: bytes, kind: type[Body]) -> None:
    try:
        body = decode_body(data, kind)
    except ParlourError:
        return
    assert decode_body(encode_body(body), kind) == body
    assert kind.__name__ in repr(body)


def target(data: bytes) -> None:
    if data:
        _read(data[1:], _TYPES[data[0] % len(_TYPES)])
    try:
        frame = decode_frame(data)
    except ParlourError:
        return
    for kind in _BY_KIND.get(frame.kind, (Nothing,)):  # type: ignore[call-overload]
        _read(bytes(frame.body), kind)
