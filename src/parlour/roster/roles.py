"""Roles, and the table of what each may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final

from parlour.roster.genesis import Kind


class Role(IntEnum):
    """What an account is in a group. Each may do what those below it may."""

    MEMBER = 1
    MODERATOR = 2
    ADMIN = 3
    OWNER = 4


class Right(Enum):
    """What somebody may do to a group."""

    ADD = "add"
    REMOVE = "remove"
    SET_ROLE = "set role"
    RENAME = "rename"
    LINK = "link"
    RESTART = "restart"
    CHANNELS = "channels"


# Kind, right, the lowest role that has it, and why. What is not in the table nobody may.
TABLE: Final[tuple[tuple[Kind, Right, Role, str], ...]] = (
    # Two people, or one, for good: a third would be another conversation.
    (Kind.DIRECT, Right.RESTART, Role.MEMBER, "either of the two must get out of a broken state"),
    (Kind.SELF, Right.RESTART, Role.MEMBER, "all its devices are one person's"),
    (Kind.GROUP, Right.ADD, Role.ADMIN, "who comes in reads what everybody says from then on"),
    (Kind.GROUP, Right.REMOVE, Role.MODERATOR, "somebody has to be awake when it is needed"),
    (Kind.GROUP, Right.SET_ROLE, Role.ADMIN, "roles decide on all the rest"),
    (Kind.GROUP, Right.RENAME, Role.ADMIN, "a name tells people where they are"),
    (Kind.GROUP, Right.LINK, Role.ADMIN, "a link adds people whom nobody has looked at"),
    (Kind.GROUP, Right.RESTART, Role.MEMBER, "who begins again puts out nobody by that"),
    (Kind.FAMILY, Right.ADD, Role.MEMBER, "people who trust each other bring their own"),
    (Kind.FAMILY, Right.REMOVE, Role.ADMIN, "a quarrel should not empty the room"),
    (Kind.FAMILY, Right.SET_ROLE, Role.ADMIN, "roles decide on all the rest"),
    (Kind.FAMILY, Right.RENAME, Role.MEMBER, "a name is everybody's, and easily changed back"),
    (Kind.FAMILY, Right.LINK, Role.ADMIN, "a link adds people whom nobody has looked at"),
    (Kind.FAMILY, Right.RESTART, Role.MEMBER, "who begins again puts out nobody by that"),
    (Kind.CHANNEL, Right.ADD, Role.MODERATOR, "rooms are large, and moderators look after them"),
    (Kind.CHANNEL, Right.REMOVE, Role.MODERATOR, "somebody has to be awake when it is needed"),
    (Kind.CHANNEL, Right.SET_ROLE, Role.ADMIN, "roles decide on all the rest"),
    (Kind.CHANNEL, Right.RENAME, Role.ADMIN, "a name tells people where they are"),
    (Kind.CHANNEL, Right.LINK, Role.ADMIN, "a link adds people whom nobody has looked at"),
    (Kind.CHANNEL, Right.RESTART, Role.MEMBER, "who begins again puts out nobody by that"),
    (Kind.CHANNEL, Right.CHANNELS, Role.ADMIN, "a channel decides who reads it"),
)

RIGHTS: Final[Mapping[Kind, Mapping[Right, Role]]] = MappingProxyType(
    {
        kind: MappingProxyType({right: role for each, right, role, _ in TABLE if each is kind})
        for kind in Kind
    }
)

# Whoever founds a conversation of these kinds is no more than the others in it.
FIXED_KINDS: Final = frozenset({Kind.DIRECT, Kind.SELF})
# A link is copied to places where nobody looks: what it gives must not rule those who made it.
HIGHEST_LINK_ROLE: Final = Role.MODERATOR


def may(kind: Kind, role: Role, right: Right) -> bool:
    """Whether `role` has `right` in conversations of that kind."""
    lowest = RIGHTS[kind].get(right)
    return lowest is not None and role >= lowest
