"""What a person can do to a group from within its chat."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from parlour.cli.group.described import document
from parlour.cli.group.members import rows
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.errors import Code, ParlourError, UsageError
from parlour.roster import Role

HELP: Final = (
    "/members              who is here, in which role\n"
    "/add NAME…            bring people in\n"
    "/remove NAME…         put people out\n"
    "/role NAME ROLE       make somebody member, moderator, admin or owner\n"
    "/rename NEW NAME      give the group another name\n"
    "/leave                go from the group\n"
    "/quit                 close this chat, like Ctrl-D\n"
    "Alt-Enter             begin a new line in the message\n"
    "//…                   say something that begins with /"
)
# How often somebody else was quicker while a change was made (`Client.counters`).
_LOST: Final = "commit.lost"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command: for people, and as JSON."""

    text: str
    document: Mapping[str, Any]
    failed: bool = False
    leaves: bool = False


_Act: TypeAlias = Callable[[Client, bytes, Sequence[str]], Awaitable[str]]


async def _members(client: Client, group: bytes, _words: Sequence[str]) -> str:
    return "\n".join(row.plain for row in rows(client.groups.members(group)))


async def _add(client: Client, group: bytes, words: Sequence[str]) -> str:
    await client.groups.add(group, _some(words))
    return f"✓ Added: {', '.join(words)}."


async def _remove(client: Client, group: bytes, words: Sequence[str]) -> str:
    await client.groups.remove(group, _some(words))
    return f"✓ Not here any more: {', '.join(words)}."


async def _role(client: Client, group: bytes, words: Sequence[str]) -> str:
    names = {role.name.lower(): role for role in Role}
    match words:
        case [name, role] if role in names:
            await client.groups.set_role(group, name, names[role])
            return f"✓ {name} is {role} now."
        case _:
            raise UsageError(Code.USAGE_INVALID, f"/role NAME and one of {', '.join(names)}")


async def _rename(client: Client, group: bytes, words: Sequence[str]) -> str:
    await client.groups.rename(group, " ".join(words).removeprefix("#"))
    return f"✓ It is {client.groups.label(group)} now."


async def _leave(client: Client, group: bytes, _words: Sequence[str]) -> str:
    await client.groups.leave(group)
    return f"✓ You have left {client.groups.label(group)}."


async def _verify(_client: Client, _group: bytes, _words: Sequence[str]) -> str:
    return "In a group, compare with each of them: parlour verify NAME"


_ACTS: Final[Mapping[str, _Act]] = {
    "/members": _members,
    "/add": _add,
    "/remove": _remove,
    "/role": _role,
    "/rename": _rename,
    "/leave": _leave,
    "/verify": _verify,
}


async def do(client: Client, group: bytes, line: str) -> Done | None:
    """Do what a line that begins with a stroke says; None where it says nothing for groups."""
    command, words = _read(line)
    act = _ACTS.get(command)
    if act is None:
        return None
    told: dict[str, Any] = {"code": "group.done", "command": command.removeprefix("/")}
    lost = client.counters.get(_LOST, 0)
    try:
        text = await act(client, group, words)
    except ParlourError as failure:
        if failure.code is Code.INTERNAL_BUG:
            raise
        told |= {"code": "group.failed", "reason": failure.code.value, "detail": failure.detail}
        return Done(f"✗ Not done. {failure} {failure.remedy}", told, failed=True)
    told |= document(client, client.groups.get(group))
    told["races_lost"] = client.counters.get(_LOST, 0) - lost
    return Done(text, told, leaves=act is _leave)


def _read(line: str) -> tuple[str, list[str]]:
    command, _, rest = line.strip().partition(" ")
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()
    return command.casefold(), words


def _some(words: Sequence[str]) -> Sequence[str]:
    if not words:
        raise UsageError(Code.USAGE_INVALID, "name at least one person")
    return words


def shown(done: Done) -> str:
    """Its text, harmless for a terminal line by line."""
    return "\n".join(one_line(line) for line in done.text.split("\n"))
