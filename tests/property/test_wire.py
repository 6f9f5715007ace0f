"""Every operation's request and response, made from its type."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import wire_frames
from parlour.errors import DecodeError
from parlour.wire.body import Body
from parlour.wire.frames import (
    WIRE_VERSION,
    decode_body,
    decode_frame,
    encode_body,
    encode_frame,
)
from parlour.wire.kinds import OPERATIONS, PUSHES, Kind
from parlour.wire.server import ErrorBody
from tests.bodies import BODIES, values

CASES: list[tuple[Kind, type[Any]]] = [
    *((kind, operation.request) for kind, operation in OPERATIONS.items()),
    *((Kind.OK, operation.response) for operation in OPERATIONS.values()),
    *PUSHES.items(),
    (Kind.ERROR, ErrorBody),
]
ANY_BODY = st.sampled_from(BODIES).flatmap(values)


@pytest.mark.parametrize(("kind", "body_type"), CASES)
@given(data=st.data(), request_id=st.integers(0, 0xFFFF_FFFF))
@settings(max_examples=10, deadline=None)
def test_bodies_travel_in_frames(
    kind: Kind, body_type: type[Body], data: st.DataObject, request_id: int
) -> None:
    body = data.draw(values(body_type))
    frame = decode_frame(encode_frame(kind, request_id, body))
    assert (frame.version, frame.kind, frame.request_id) == (WIRE_VERSION, kind, request_id)
    assert decode_body(frame.body, body_type) == body
    assert decode_body(encode_body(body), body_type) == body


@given(body=ANY_BODY, data=st.data())
@settings(max_examples=150, deadline=None)
def test_truncation_is_malformed(body: Body, data: st.DataObject) -> None:
    encoded = encode_body(body)
    size = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError):
        decode_body(encoded[:size], type(body))
    framed = encode_frame(Kind.OK, 1, body)
    with pytest.raises(DecodeError):
        decode_frame(framed[: len(framed) - len(encoded) + size])


@given(body=ANY_BODY, data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bit_gives_a_value_or_a_decode_error(body: Body, data: st.DataObject) -> None:
    encoded = bytearray(encode_body(body))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    try:
        changed = decode_body(bytes(encoded), type(body))
    except DecodeError:
        return
    assert decode_body(encode_body(changed), type(body)) == changed


@given(data=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_value_or_a_decode_error(data: bytes) -> None:
    wire_frames.target(data)


@pytest.mark.parametrize("seed", wire_frames.SEEDS)
def test_seeds_of_the_fuzzer(seed: bytes) -> None:
    wire_frames.target(seed)
