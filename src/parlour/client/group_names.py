"""What groups are called: by their names, or by the beginning of their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from parlour.conversation.groups.view import GroupName

# Before the name of a group, where a name may be that of an account as well.
MARK: Final = "#"
# Between the name of a group and the beginning of its id, where several have that name.
SEPARATOR: Final = "@"
# Characters of an id in hex that name a group.
SHORT_ID: Final = 8


def is_named(group: bytes, name: str, wanted: str) -> bool:
    """Whether a group is meant: by its name, its label or at least eight characters of its id."""
    if wanted in (name, f"{name}{SEPARATOR}{short_id(group)}"):
        return bool(name)
    return len(wanted) >= SHORT_ID and group.hex().startswith(wanted.casefold())


def labels(names: Mapping[bytes, GroupName]) -> dict[bytes, str]:
    """What people call each group: its name, and the beginning of its id if they share it.

    A group of the past shares its name with one that goes on, but not the other way round. Names
    are what members chose: they are not escaped.
    """
    current = Counter(each.name for each in names.values() if not each.is_over)
    past = Counter(each.name for each in names.values() if each.is_over)
    found = {}
    for group, each in names.items():
        sharing = current[each.name] + (past[each.name] if each.is_over else 0)
        found[group] = label(group, each.name, alone=sharing == 1)
    return found


def label(group: bytes, name: str = "", *, alone: bool = True) -> str:
    """What people call a group."""
    if not name:
        return MARK + short_id(group)
    return MARK + name if alone else f"{MARK}{name}{SEPARATOR}{short_id(group)}"


def short_id(group: bytes) -> str:
    """The beginning of its id, as `is_named` takes it."""
    return group.hex()[:SHORT_ID]
