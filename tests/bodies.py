"""Wire bodies of every type, made from their types: filled with marks, or by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as types

from parlour.wire import envelope, kinds
from parlour.wire.body import Body

# Every body says so itself; importing the table imports them all.
BODIES: Final[tuple[type[Body], ...]] = tuple(Body.__subclasses__())
ANSWERS: Final = {kinds.Kind.OK, kinds.Kind.ERROR}

assert envelope.Envelope in BODIES
assert {operation.request for operation in kinds.OPERATIONS.values()} < set(BODIES)

Mark = Callable[[int], bytes]
"""Gives so many bytes of ASCII that a test recognises."""


def filled(kind: type[Body], mark: Mark) -> Any:
    """A body whose texts and bytes are all of marks, with two items in each list."""
    return msgspec.convert(_plain(types.type_info(kind), mark), kind, strict=True)


def plain(kind: type[Body], mark: Mark) -> list[Any]:
    """The same as the array that the wire carries."""
    value: list[Any] = _plain(types.type_info(kind), mark)
    return value


def _size(low: int | None, high: int | None) -> int:
    """A length between the bounds, with room for a mark where they leave it."""
    return min(high or 1 << 10, max(low or 0, 64))


def _plain(kind: types.Type, mark: Mark) -> Any:
    match kind:
        case types.StructType():
            return [_plain(field.type, mark) for field in kind.fields]
        case types.BytesType():
            return mark(_size(kind.min_length, kind.max_length))
        case types.StrType():
            return mark(_size(kind.min_length, kind.max_length)).decode()
        case types.IntType():
            return kind.ge
        case types.BoolType():
            return True
        case types.ListType():
            return [_plain(kind.item_type, mark) for _ in range(2)]
        case types.LiteralType():
            return kind.values[0]
        case types.UnionType():
            return _plain(next(t for t in kind.types if not isinstance(t, types.NoneType)), mark)
        case _:
            raise NotImplementedError(kind)


def values(kind: type[Body]) -> st.SearchStrategy[Any]:
    """Bodies of a type; lists are kept short."""
    return _values(types.type_info(kind))


def _values(kind: types.Type) -> st.SearchStrategy[Any]:
    match kind:
        case types.StructType():
            return st.builds(kind.cls, *(_values(field.type) for field in kind.fields))
        case types.BytesType():
            low = kind.min_length or 0
            return st.binary(min_size=low, max_size=min(kind.max_length or 80, low + 80))
        case types.StrType():
            return st.text(min_size=kind.min_length or 0, max_size=kind.max_length)
        case types.IntType():
            return st.integers(kind.ge, kind.le)
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.ListType():
            low = kind.min_length or 0
            return st.lists(_values(kind.item_type), min_size=low, max_size=low + 2)
        case types.LiteralType():
            return st.sampled_from(kind.values)
        case types.UnionType():
            return st.one_of(*map(_values, kind.types))
        case _:
            raise NotImplementedError(kind)
