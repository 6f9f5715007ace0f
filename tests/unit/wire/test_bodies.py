"""No body shows what it holds, however it gets into a log."""

import io
import logging
import traceback
from itertools import pairwise

import msgspec
import pytest
from msgspec import inspect as types
from rich.console import Console
from rich.pretty import pretty_repr

from parlour.errors import DecodeError
from parlour.wire.body import Body
from parlour.wire.frames import decode_body, decode_frame, encode_body, encode_frame
from parlour.wire.ids import TOKEN_SIZE
from parlour.wire.kinds import OPERATIONS, PUSHES
from parlour.wire.limits import MAX_FRAME, MAX_PAGE, MAX_PART, MAX_PARTS
from parlour.wire.login import LoggedIn, RegisterStart
from parlour.wire.server import ErrorBody
from tests.bodies import BODIES, filled, plain

CANARY = "canary7"


def mark(size: int) -> bytes:
    return (CANARY * size).encode()[:size]


def leaks(text: str) -> bool:
    """Whether some of a mark shows: as text, in hex, or as base64 of any of its offsets."""
    lower = text.lower()
    return CANARY in lower or CANARY.encode().hex() in lower or "y2fuyxj5" in lower


def test_marks_are_recognised() -> None:
    assert leaks(repr(mark(16)))
    assert leaks(mark(16).hex())
    assert leaks(msgspec.json.encode(mark(16)).decode())


def test_every_type_of_the_tables_is_a_body() -> None:
    tables = {op.request for op in OPERATIONS.values()} | {
        op.response for op in OPERATIONS.values()
    }
    assert tables | set(PUSHES.values()) | {ErrorBody} <= set(BODIES)


@pytest.mark.parametrize("kind", BODIES)
def test_body_is_logged_without_its_values(
    kind: type[Body], caplog: pytest.LogCaptureFixture
) -> None:
    body = filled(kind, mark)
    screen = io.StringIO()
    Console(file=screen).print(body, [body])
    logging.getLogger("test").warning("%s %r", body, [body], extra={"body": body})
    shown = [
        *(repr(body), str(body), format(body), f"{body!s:>200}", f"{[body]} { ({'key': body}) }"),
        caplog.text,
        pretty_repr(body),
        screen.getvalue(),
        repr(decode_frame(encode_frame(1, 1, body))),
    ]
    assert kind.__name__ in shown[0]
    assert not any(map(leaks, shown)), shown


def test_repr_shows_shapes() -> None:
    assert repr(RegisterStart("anna", None, b"12345")) == (
        "RegisterStart(name=[4 characters], invite=None, request=[5 bytes])"
    )


def test_repr_of_a_value_of_another_type_names_the_type_only() -> None:
    class Odd(Body, array_like=True, frozen=True):
        value: dict[str, int]

    assert repr(Odd({CANARY: 1})) == "Odd(value=[dict])"


def test_token_of_the_promised_entropy_fits() -> None:
    body = filled(LoggedIn, mark)
    unpadded = -(-TOKEN_SIZE * 8 // 6)
    body = msgspec.structs.replace(body, token="t" * unpadded)
    assert decode_body(encode_body(body), LoggedIn) == body


@pytest.mark.parametrize("kind", BODIES)
def test_refusal_of_a_body_shows_none_of_it(kind: type[Body]) -> None:
    for other in BODIES:
        refusal = ""
        try:
            decode_body(encode_body(filled(other, mark)), kind)
        except DecodeError as error:
            refusal = "".join(traceback.format_exception(error))
        assert not leaks(refusal)


def bounded() -> list[tuple[type[Body], int, object]]:
    """Each field of each body with a value just beyond one of its bounds."""
    cases: list[tuple[type[Body], int, object]] = []
    for body in BODIES:
        info = types.type_info(body)
        assert isinstance(info, types.StructType)
        for index, field in enumerate(info.fields):
            options = field.type.types if isinstance(field.type, types.UnionType) else (field.type,)
            for option in options:
                cases += [(body, index, value) for value in beyond(option)]
    return cases


def beyond(kind: types.Type) -> list[object]:
    match kind:
        case types.IntType():
            assert kind.ge is not None
            assert kind.le is not None
            return [kind.ge - 1, kind.le + 1, True, float(kind.le)]
        case types.BytesType():
            assert kind.max_length is not None
            short = [bytes(kind.min_length - 1)] if kind.min_length else []
            return [bytes(kind.max_length + 1), "text", *short]
        case types.StrType():
            assert kind.max_length is not None
            few = ["s" * (kind.min_length - 1)] if kind.min_length else []
            return ["s" * (kind.max_length + 1), b"bytes", 1, *few]
        case types.LiteralType():
            return ["another", 0]
        case types.BoolType():
            return [1, "true"]
        case types.ListType():
            return [{}, []] if kind.min_length else [{}]
        case types.StructType():
            return [{}, 1, []]
        case _:
            return []


@pytest.mark.parametrize(
    ("kind", "index", "value"),
    [pytest.param(*case, id=f"{case[0].__name__}-{n}") for n, case in enumerate(bounded())],
)
def test_value_out_of_bounds_is_malformed(kind: type[Body], index: int, value: object) -> None:
    fields = plain(kind, mark)
    assert decode_body(msgspec.msgpack.encode(fields), kind) == filled(kind, mark)
    fields[index] = value
    with pytest.raises(DecodeError):
        decode_body(msgspec.msgpack.encode(fields), kind)


@pytest.mark.parametrize("kind", BODIES)
def test_lists_end_at_their_bound(kind: type[Body]) -> None:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    for index, field in enumerate(info.fields):
        if isinstance(field.type, types.ListType) and field.type.max_length is not None:
            fields = plain(kind, mark)
            item = fields[index][0]
            fields[index] = [item] * field.type.max_length
            decode_body(msgspec.msgpack.encode(fields), kind)
            fields[index].append(item)
            with pytest.raises(DecodeError):
                decode_body(msgspec.msgpack.encode(fields), kind)


@pytest.mark.parametrize("kind", BODIES)
def test_later_fields_are_ignored_and_missing_ones_refused(kind: type[Body]) -> None:
    fields = plain(kind, mark)
    later = msgspec.msgpack.encode([*fields, {"a": [1]}])
    assert decode_body(later, kind) == filled(kind, mark)
    required = sum(field.required for field in msgspec.structs.fields(kind))
    without = fields[:required]
    decode_body(msgspec.msgpack.encode(without), kind)
    if required:
        with pytest.raises(DecodeError):
            decode_body(msgspec.msgpack.encode(without[:-1]), kind)


def test_bounds_fit_each_other() -> None:
    assert MAX_PART * 2 < MAX_FRAME
    assert MAX_PARTS * 100 < MAX_FRAME  # a group key for every device, in one frame
    assert MAX_PAGE > 1
    assert all(low < high for low, high in pairwise(sorted({MAX_PART, MAX_FRAME})))
