"""What the code says of itself, in words: names with their comments, types with their bounds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from msgspec import Meta

from parlour.errors import Code, InternalError

_NAMES: Final = {
    "bytes": "bin",
    "str": "str",
    "int": "int",
    "bool": "bool",
    "Raw": "what the kind says",
}
_WIDE: Final = 16  # bits from which a bound reads better as a power of two


@dataclass(frozen=True, slots=True)
class Definition:
    """A name of a module or class, the source of its value or type, and what is said about it."""

    name: str
    form: ast.expr
    above: str
    below: str


def definitions(thing: ModuleType | type) -> Iterator[Definition]:
    """The names of a module or class with the comment above and the text below each."""
    source = inspect.getsource(thing)
    lines = source.splitlines()
    body: Sequence[ast.stmt] = ast.parse(source).body
    if isinstance(body[0], ast.ClassDef) and isinstance(thing, type):
        body = body[0].body
    for statement, after in zip(body, [*body[1:], None], strict=True):
        named = _named(statement, typed=isinstance(thing, type))
        if named is not None:
            yield Definition(*named, _comment(lines, statement.lineno - 1), _below(after))


def _named(statement: ast.stmt, *, typed: bool) -> tuple[str, ast.expr] | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
            return name, kind if typed or value is None else value
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
        case _:
            return None


def _below(after: ast.stmt | None) -> str:
    match after:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""


def _comment(lines: Sequence[str], line: int) -> str:
    first = line
    while first > 0 and lines[first - 1].startswith("# "):
        first -= 1
    return " ".join(text.removeprefix("# ") for text in lines[first:line])


def _number(value: float) -> str:
    bits = int(value + 1).bit_length() - 1
    return f"2^{bits} - 1" if bits >= _WIDE and value + 1 == 1 << bits else f"{value:,}"


def _bounds(meta: Meta, unit: str) -> str:
    if meta.ge is not None and meta.le is not None:
        return f", {_number(meta.ge)} to {_number(meta.le)}"
    low, high = meta.min_length, meta.max_length
    if low == high:
        return f", {high:,} {unit}"
    return f", {low:,} to {high:,} {unit}" if low else f", at most {high:,} {unit}"


def _unit(kind: ast.expr) -> str:
    match kind:
        case ast.Name(id="bytes"):
            return "bytes"
        case ast.Name(id="str"):
            return "characters"
        case _:
            return "items"


def words(annotation: ast.expr, hint: Any) -> str:
    """An annotation as the page writes it. `hint` is its value, for the bounds in it."""
    match annotation:
        case ast.Constant(value=None):
            return "nil"
        case ast.Name(id=name):
            return _NAMES.get(name) or f"[`{name}`](#{name.lower()})"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{words(right, hint.__args__[1])} or {words(left, hint.__args__[0])}"
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return f"array of {words(item, hint.__args__[0])}"
        case ast.Subscript(value=ast.Name(id="Literal")):
            return "str, " + " or ".join(f'`"{value}"`' for value in hint.__args__)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, _])):
            kind = words(inner, hint.__origin__)
            return kind + _bounds(hint.__metadata__[0], _unit(inner))
        case _:
            raise InternalError(Code.INTERNAL_BUG, f"no words for {ast.unparse(annotation)}")
