"""What happened in groups, in a sentence or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

from rich.text import Text

from parlour.cli.safe_text import one_line
from parlour.conversation.events import (
    CommitRefused,
    DeviceChange,
    GroupChange,
    GroupChanged,
    GroupDevice,
    GroupForked,
    GroupJoined,
    GroupLeft,
    GroupListUnread,
    GroupRefused,
    GroupRepaired,
    GroupRepairing,
    GroupRestarted,
    GroupUnconfirmed,
)
from parlour.errors import CODES
from parlour.roster import Role

GroupEvent: TypeAlias = (
    GroupJoined
    | GroupChanged
    | GroupLeft
    | GroupRefused
    | GroupRepairing
    | GroupRepaired
    | GroupRestarted
    | GroupForked
    | GroupUnconfirmed
    | GroupListUnread
    | GroupDevice
    | CommitRefused
)
_ALARM: Final = "bold red"
_WARNING: Final = "yellow"
_NEWS: Final = "dim"
# What was wanted, as the machine calls it.
_WANTED: Final[Mapping[str, str]] = {
    "create": "The group {where} can't be made.",
    "join": "You do not come into {where}.",
    "add": "Nobody is added to {where}.",
    "remove": "Nobody is put out of {where}.",
    "role": "No role is changed in {where}.",
    "rename": "{where} keeps its name.",
    "open_link": "No link to {where} is made.",
    "close_link": "The link to {where} stays open.",
}


class Names(Protocol):
    """Who is who (`shown.People`). What it returns is harmless for a terminal."""

    def name(self, conversation: bytes) -> str:
        """The name of an account or a group."""
        ...

    def who(self, account_id: bytes) -> str:
        """The name of an account, or ``you``."""
        ...


def group_event_text(event: GroupEvent, names: Names) -> Text | None:
    """An event for people; None for what needs no words."""
    where = names.name(event.group)
    match event:
        case GroupChanged():
            sentence = _changed(event, where, names)
            return None if sentence is None else Text(f"· {sentence}", style=_NEWS)
        case GroupDevice():
            return Text(f"· {_device(event, where, names)}", style=_NEWS)
        case GroupRepairing(step="fetch") | GroupRepaired(confirmed=True):
            # Most often over before anybody has read it.
            return None
        case GroupRepairing() | GroupRepaired():
            return Text(_repair(event, where), style=_NEWS)
        case GroupJoined() | GroupLeft():
            return Text(_own(event, where, names), style=_WARNING)
        case GroupForked() | GroupUnconfirmed() | CommitRefused():
            return Text(_alarm(event, where, names), style=_ALARM)
        case GroupListUnread():
            return Text(_unlisted(event, where, names), style=_WARNING)
        case GroupRefused(want=want, reason=reason):
            explained = CODES[reason]
            wanted = _WANTED.get(want, "What was wanted of {where} can't be.").format(where=where)
            text = f"⚠ {wanted} {explained.sentence} {explained.remedy} [{reason.value}]"
            return Text(text, style=_WARNING)
        case GroupRestarted():
            return Text(_restarted(event, where, names), style=_WARNING)


def _unlisted(event: GroupListUnread, where: str, names: Names) -> str:
    whose = ", ".join(names.who(each) for each in event.accounts)
    missing = f"⚠ The server does not give the list of devices of {whose}, in {where}."
    if event.waits:
        return (
            f"{missing} It has changed, as another device has shown. What you say there waits, "
            "until the list comes or they are put out."
        )
    return (
        f"{missing} What you say there goes to the devices that were on it before. If one may "
        "have been lost or stolen, let somebody put them out."
    )


def _restarted(event: GroupRestarted, where: str, names: Names) -> str:
    by, gone = names.who(event.by), ", ".join(names.who(each) for each in event.without)
    left_out = f", without {gone}" if gone else ""
    if event.needless:
        return (
            f"⚠ {by} began {where} again{left_out}, though nothing was wrong with it as far as "
            "this device knows. Nobody can speak there until everybody is back in. If it happens "
            "often, ask why, or let somebody put them out."
        )
    return f"⚠ {where} was broken, and {by} began it again{left_out}."


def _own(event: GroupJoined | GroupLeft, where: str, names: Names) -> str:
    match event:
        case GroupJoined(inviter=inviter, invited=True):
            who = f"{names.who(inviter)}, whom you have not accepted, put you into {where}."
            if not inviter:
                who = f"Somebody put you into {where}. Who it was, only the server says."
            return (
                f"{who} To read what is said there: parlour group accept '{where}'. Otherwise: "
                f"parlour group decline '{where}'."
            )
        case GroupJoined(inviter=inviter, confirmed=False):
            by = ", by a link" if inviter else ""
            return (
                f"You are in {where} now{by}. Who is in it, only the server says until a "
                "member has confirmed it; what you say waits for that, two minutes at most."
            )
        case GroupJoined(inviter=inviter):
            return f"You are in {where} now, by {names.who(inviter)}."
        case GroupLeft(by=b""):
            return (
                f"The server has no group {where} for you any more, and no member has let you in "
                "again. What was said there stays here."
            )
        case GroupLeft(by=by):
            by_whom = names.who(by)
            if by_whom == "you":
                return f"You are not in {where} any more."
            return f"{by_whom} put you out of {where}. What was said there stays here."


def _changed(event: GroupChanged, where: str, names: Names) -> str | None:
    if not event.by:
        return _found_changed(event, where, names)
    by, whom = names.who(event.by), names.who(event.account) if event.account else ""
    match event.change:
        case GroupChange.ADDED:
            return f"{by} added {whom} to {where}."
        case GroupChange.REMOVED:
            return f"{by} put {whom} out of {where}."
        case GroupChange.LEFT:
            return f"{whom} left {where}."
        case GroupChange.JOINED_BY_LINK:
            return f"{whom} came into {where} by a link."
        case GroupChange.ROLE:
            return f"{by} made {whom} {_role(event.role)} of {where}."
        case GroupChange.RENAMED if event.name:
            return f"The group's name is {one_line(event.name)} now."
        case GroupChange.RENAMED:
            # The name itself comes a moment later.
            return None
        case GroupChange.LINK_OPENED:
            return f"{by} made a link by which people may come into {where}."
        case GroupChange.LINK_CLOSED:
            return f"{by} closed a link to {where}."


def _found_changed(event: GroupChanged, where: str, names: Names) -> str | None:
    """What had changed when this device had found its way back."""
    whom = names.who(event.account) if event.account else ""
    match event.change:
        case GroupChange.ADDED | GroupChange.JOINED_BY_LINK:
            return f"Meanwhile, {whom} came into {where}."
        case GroupChange.REMOVED | GroupChange.LEFT:
            return f"Meanwhile, {whom} went from {where}."
        case GroupChange.ROLE:
            return f"Meanwhile, {whom} became {_role(event.role)} of {where}."
        case GroupChange.RENAMED:
            return None
        case GroupChange.LINK_OPENED:
            return f"Meanwhile, somebody made a link by which people may come into {where}."
        case GroupChange.LINK_CLOSED:
            return f"Meanwhile, somebody closed a link to {where}."


def _device(event: GroupDevice, where: str, names: Names) -> str:
    by, whose = names.who(event.by), names.who(event.account)
    match event.change:
        case DeviceChange.RETURNED:
            return f"A device of {whose} came back into {where} by itself."
        case DeviceChange.READDED:
            return f"{by} brought a device of {whose} back into {where}."
        case DeviceChange.EXPIRED:
            return f"{by} put a device of {whose} out of {where}: it was away for too long."


def _role(role: int) -> str:
    return Role(role).name.lower() if role in set(Role) else f"role {role}"


def _repair(event: GroupRepairing | GroupRepaired, where: str) -> str:
    match event:
        case GroupRepaired():
            return f"· This device follows {where} again; no member has confirmed it yet."
        case GroupRepairing(step=step):
            doing = {
                "ask": "members are asked for help",
                "rejoin": "it comes in anew",
                "wait": "it is tried again later",
            }
            return (
                f"· This device can't follow {where} for now: {doing.get(step, step)}. What you "
                "say there waits."
            )


def _alarm(event: GroupForked | GroupUnconfirmed | CommitRefused, where: str, names: Names) -> str:
    match event:
        case GroupForked():
            return (
                f"⚠ The server shows somebody in {where} another group than you, under the same "
                "number. It may be attacking you: compare notes over another way."
            )
        case GroupUnconfirmed():
            return (
                f"⚠ Nobody in {where} has confirmed yet that it is the group they are in. What you "
                "said goes out now. Ask somebody by another way, if it matters."
            )
        case CommitRefused(by=by, reason=reason):
            return (
                f"⚠ {names.who(by)} changed {where} in a way that is not allowed, or the server "
                f"made it up. Nothing of it is believed. [{reason.value}]"
            )
