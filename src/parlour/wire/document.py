"""Write docs/wire.md from the code: `python -m parlour.wire.document [--check]`.

What a foreign implementation needs stands in the tables and types of this package; this module
only puts it into words, so that the page can't say anything else than the code does.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from parlour.errors import CODES, Code, ExitCode
from parlour.wire import (
    directory,
    envelope,
    frames,
    groups,
    ids,
    invites,
    joining,
    kinds,
    limits,
    linking,
    login,
    prekeys,
    profiles,
    push,
    recovery,
    streams,
    vaults,
)
from parlour.wire import server as server_bodies
from parlour.wire.notation import definitions, words

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "wire.md"
BODIES: Final[tuple[ModuleType, ...]] = (
    server_bodies,
    login,
    recovery,
    joining,
    linking,
    vaults,
    invites,
    directory,
    profiles,
    prekeys,
    streams,
    envelope,
    groups,
    push,
)
_INTRODUCTION: Final = """\
# The wire

This page is made from `parlour.wire` by `make docs`; change the code, not the page.

It says all that a client and a server of Parlour say to each other. What is *inside* signed lists,
vaults, OPAQUE messages, prekeys and ciphertexts stands in the docstrings of `parlour.identity`,
`parlour.login` and `parlour.double_ratchet`.

## Encoding

Everything is [MessagePack](https://msgpack.org). A body is an **array** of its fields in the
order of its table. Types are those of MessagePack: `bin`, `str` (UTF-8), `int`, `bool`, `nil`,
`array`; "bytes" bound a `bin`, "characters" (code points) a `str`, "items" an array.

- Bounds are part of the format: a value outside them is malformed, and so is a value of another
  type, also where it could be converted.
- Fields with a default stand at the end and may be missing. Items after the last known field are
  ignored, so that a later version can add some.
- Nothing follows the outermost array. A length is compared with the data before it is believed.

## Frames

On a socket, each binary message is one frame:

    [version, kind, request_id, body]

{frame}
A frame has these four items and no more, is at most {max_frame} long and of version {version}.
A request has a `request_id` of the client's choice above 0; its answer carries the same one, and
is either of kind `OK` ({ok:#04x}) with the operation's response as body, or of kind `ERROR`
({error:#04x}) with an [`ErrorBody`](#errorbody). A push has the `request_id` 0 and no answer.

Numbers of kinds are never used again for something else.

## REST and sockets

All of it lies inside TLS 1.3. Over REST an operation is `POST /v1/` and its name, with the same
bodies but without a frame, as `application/msgpack`; `GET /v1/server` does as well. A refusal has
an HTTP status that fits and an [`ErrorBody`](#errorbody), whose code is what counts. The sockets
are WebSockets at `/v1/login` and `/v1/live`. A token travels in the header
`Authorization: Bearer TOKEN` of a request, or of the request that opens the live socket.
"""


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _text(thing: object) -> str:
    return (inspect.getdoc(thing) or "").strip()


def _head(thing: object) -> str:
    return _text(thing).partition("\n\n")[0]


def _link(struct: type) -> str:
    return f"[`{struct.__name__}`](#{struct.__name__.lower()})"


def _default(value: object) -> str:
    if value is NODEFAULT:
        return ""
    return "nil" if value is None else json.dumps(value)


def _fields(struct: type[Struct]) -> str:
    hints = get_type_hints(struct, include_extras=True)
    defaults = {field.name: field.default for field in fields(struct)}

    def rows() -> Iterator[Sequence[str]]:
        for item in definitions(struct):
            kind = words(item.form, hints[item.name])
            yield f"`{item.name}`", kind, _default(defaults[item.name])

    return _table(("field", "type", "default"), rows())


def _body(struct: type[Struct]) -> str:
    table = _fields(struct) if fields(struct) else "No fields: an empty array.\n"
    return f"### {struct.__name__}\n\n{_text(struct)}\n\n{table}"


def _structs(module: ModuleType) -> Iterator[type[Struct]]:
    for _, value in inspect.getmembers(module, inspect.isclass):
        if issubclass(value, Struct) and value.__module__ == module.__name__:
            yield value


def _bodies(module: ModuleType) -> Iterator[str]:
    yield f"## Bodies: {module.__name__.rpartition('.')[2]}\n\n{_text(module)}\n"
    by_line = sorted(_structs(module), key=lambda struct: inspect.getsourcelines(struct)[1])
    yield from (_body(struct) for struct in by_line)


def _aliases(modules: Sequence[ModuleType]) -> str:
    rows = (
        (
            f'<a id="{item.name.lower()}"></a>`{item.name}`',
            words(item.form, getattr(module, item.name)),
            item.below,
        )
        for module in modules
        for item in definitions(module)
        if isinstance(item.form, ast.Subscript)
    )
    return "## Types\n\n" + _table(("type", "form", "what"), rows)


def _operations() -> str:
    return "## Operations\n\n" + _table(
        ("kind", "name", "door", "request", "response"),
        (
            (f"{kind:#04x}", f"`{op.name}`", op.door, _link(op.request), _link(op.response))
            for kind, op in kinds.OPERATIONS.items()
        ),
    )


def _pushes() -> str:
    rows = ((f"{kind:#04x}", _link(body), _head(body)) for kind, body in kinds.PUSHES.items())
    return "## Pushes\n\n" + _table(("kind", "body", "what"), rows)


def _doors() -> str:
    about = {item.name: item.below for item in definitions(kinds.Door)}
    rows = ((f"`{door.value}`", about[door.name]) for door in kinds.Door)
    return "## Doors\n\n" + _table(("door", "where"), rows)


def _suites() -> str:
    rows = ((f"{suite:#06x}", f"`{suite.name}`") for suite in envelope.SuiteId)
    head = f"## Suites\n\n{_text(envelope.SuiteId)} `format` is {envelope.ENVELOPE_FORMAT}.\n\n"
    return head + _table(("suite", "name"), rows)


def _limits() -> str:
    rows = (
        (f"`{item.name}`", f"{getattr(limits, item.name):,}", item.above)
        for item in definitions(limits)
    )
    head = f"## Bounds\n\n{_text(limits)} Sizes are in bytes.\n\n"
    return head + _table(("bound", "value", "reason"), rows)


def _codes() -> str:
    rows = (
        (
            f"`{code.value}`",
            about.kind.__name__,
            about.sentence,
            about.remedy,
            str(about.kind.exit_code.value),
        )
        for code, about in CODES.items()
    )
    exits = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
    return (
        "## Error codes\n\nCodes are stable, and the same on every door. A peer hears the code, "
        "the sentence and the remedy, and nothing else. The last column is what the command line "
        f"ends with: {exits}. A client treats a code that it does not know as "
        f"`{Code.SERVER_MISBEHAVED.value}`.\n\n"
    ) + _table(("code", "class", "sentence", "remedy", "exit"), rows)


def render() -> str:
    """The whole page."""
    sections = [
        _INTRODUCTION.format(
            frame=_fields(frames.Frame),
            max_frame=f"{limits.MAX_FRAME:,} bytes",
            version=frames.WIRE_VERSION,
            ok=kinds.Kind.OK,
            error=kinds.Kind.ERROR,
        ),
        _doors(),
        _operations(),
        _pushes(),
        *(section for module in BODIES for section in _bodies(module)),
        _suites(),
        _aliases((ids, *BODIES)),
        _limits(),
        _codes(),
    ]
    return "\n".join(sections)


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Write the page, or with `--check` only say whether it is what would be written."""
    parser = argparse.ArgumentParser(prog="python -m parlour.wire.document", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; 1 when they differ")
    text = render()
    if not parser.parse_args(arguments).check:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"docs/{page.name} is not what the code says: run `make docs`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
