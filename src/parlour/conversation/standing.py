"""How this person stands to an account: unknown, asked by it, talking with it, or rid of it.

Nobody can put words or pictures before somebody's eyes by knowing their name: the first message of
a stranger is a request, of which only the account's name is shown. Writing to somebody is a yes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from parlour.errors import Code, UsageError


class Standing(StrEnum):
    """What has been decided about an account. The values stand in the local store."""

    STRANGER = "stranger"
    """Looked up, or met; nothing was said."""
    REQUESTED = "requested"
    """It wrote to us, and waits for a decision."""
    ACCEPTED = "accepted"
    """We wrote to it, or said yes."""
    DECLINED = "declined"
    """We said no, this time."""
    BLOCKED = "blocked"
    """Nothing of it reaches us, and nothing goes to it."""


class Act(StrEnum):
    """What changes a standing."""

    WRITTEN_TO = "be written to"
    WRITE = "write"
    ACCEPT = "accept"
    DECLINE = "decline"
    BLOCK = "block"
    UNBLOCK = "unblock"


_S = Standing
# Whatever is not here can't happen: `after` says so.
TRANSITIONS: Final[dict[tuple[Standing, Act], Standing]] = {
    (_S.STRANGER, Act.WRITTEN_TO): _S.REQUESTED,
    (_S.DECLINED, Act.WRITTEN_TO): _S.REQUESTED,
    (_S.STRANGER, Act.WRITE): _S.ACCEPTED,
    (_S.REQUESTED, Act.WRITE): _S.ACCEPTED,
    (_S.DECLINED, Act.WRITE): _S.ACCEPTED,
    (_S.STRANGER, Act.ACCEPT): _S.ACCEPTED,
    (_S.REQUESTED, Act.ACCEPT): _S.ACCEPTED,
    (_S.DECLINED, Act.ACCEPT): _S.ACCEPTED,
    (_S.REQUESTED, Act.DECLINE): _S.DECLINED,
    (_S.STRANGER, Act.BLOCK): _S.BLOCKED,
    (_S.REQUESTED, Act.BLOCK): _S.BLOCKED,
    (_S.ACCEPTED, Act.BLOCK): _S.BLOCKED,
    (_S.DECLINED, Act.BLOCK): _S.BLOCKED,
    (_S.BLOCKED, Act.UNBLOCK): _S.STRANGER,
}
# What is so already stays so.
_SETTLED: Final = frozenset(
    {
        (_S.REQUESTED, Act.WRITTEN_TO),
        (_S.ACCEPTED, Act.WRITTEN_TO),
        (_S.ACCEPTED, Act.WRITE),
        (_S.ACCEPTED, Act.ACCEPT),
        (_S.DECLINED, Act.DECLINE),
        (_S.BLOCKED, Act.BLOCK),
    }
)


def after(standing: Standing, act: Act) -> Standing:
    """The standing after an act; raises `UsageError` where it makes no sense."""
    if (standing, act) in _SETTLED:
        return standing
    following = TRANSITIONS.get((standing, act))
    if following is not None:
        return following
    if standing is Standing.BLOCKED:
        raise UsageError(Code.CONTACT_BLOCKED)
    raise UsageError(Code.USAGE_STATE, f"{act.value} when {standing.value}")
