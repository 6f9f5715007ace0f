"""Where results go: text for people, or JSON for programs.

Results go to standard output, everything else (hints, questions, errors) to standard error. With
``--json`` a command prints one document, a stream one document a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints to. Text is printed as it is: no markup is read out of it."""

    json: bool = False

    def document(self, document: Document) -> None:
        """One JSON document, flushed; nothing when people read."""
        if self.json:
            print(encode(document), flush=True)

    def text(self, *parts: object) -> None:
        """A line, or something that Rich can draw; nothing when programs read."""
        if not self.json:
            console().print(*parts, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A hint beside the result, on standard error; nothing when programs read."""
        if not self.json:
            console(stderr=True).print(
                text, style="dim", markup=False, highlight=False, emoji=False, soft_wrap=True
            )


def encode(document: Document) -> str:
    """One line of JSON. All but ASCII is escaped, so that nothing in it reaches a terminal."""
    return json.dumps(document, ensure_ascii=True, separators=(",", ":"))


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now."""
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout)
