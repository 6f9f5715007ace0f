"""Frames: `[version, kind, request_id, body]` in MessagePack.

A request has an id of the client's choice above 0; its answer carries the same one. A push has 0.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from parlour.errors import Code, DecodeError
from parlour.wire.limits import MAX_FRAME

WIRE_VERSION: Final = 1

T = TypeVar("T")


class Frame(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One frame with its body still encoded, to be decoded as its kind says."""

    version: Annotated[int, Meta(ge=0, le=0xFFFF)]
    kind: Annotated[int, Meta(ge=0, le=0xFFFF)]
    request_id: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    body: Raw


# What msgspec raises on bytes of others: text that is not UTF-8 is no error of its own there, and
# neither is an array nested deeper than Python's stack.
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encoder: Final = msgspec.msgpack.Encoder()
_frame_decoder: Final = msgspec.msgpack.Decoder(Frame)
_decoders: Final[dict[type[object], msgspec.msgpack.Decoder[object]]] = {}


def _malformed(what: str, error: Exception) -> DecodeError:
    """Name the place and not the value: msgspec quotes what stands where a word was expected."""
    return DecodeError(Code.DECODE_MALFORMED, f"{what}: {str(error).rpartition(' - at ')[2]}")


def encode_frame(kind: int, request_id: int, body: Struct) -> bytes:
    """Encode a frame of `WIRE_VERSION`."""
    return _encoder.encode((WIRE_VERSION, kind, request_id, body))


def decode_frame(data: bytes) -> Frame:
    """Decode a frame's head; the body is decoded by `decode_body`."""
    if len(data) > MAX_FRAME:
        raise DecodeError(Code.DECODE_OVERSIZED, "frame")
    try:
        frame = _frame_decoder.decode(data)
    except _MALFORMED as error:
        raise _malformed("frame", error) from None
    if frame.version != WIRE_VERSION:
        raise DecodeError(Code.DECODE_VERSION, f"wire version {frame.version}")
    return frame


def encode_body(body: Struct) -> bytes:
    """Encode a body alone, as REST carries it."""
    return _encoder.encode(body)


def decode_body(data: bytes | Raw, kind: type[T]) -> T:
    """Decode a body of a known type; anything else is malformed."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[return-value]
    except _MALFORMED as error:
        raise _malformed(kind.__name__, error) from None
