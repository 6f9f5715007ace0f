"""Groups: found, join, lead and leave them.

What is wanted of a group is written to this device first, and comes true by itself: at once where
the server is there, else when it is. The calls here wait for it, and raise why it can't be. Who
does not want to wait gives `timeout=0` and hears of the end by events (`GroupChanged`,
`GroupRefused`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from parlour.client.group_names import MARK, SHORT_ID, is_named, label, labels, short_id
from parlour.client.group_waiting import (
    PATIENCE,
    Progress,
    Reached,
    Step,
    Waiting,
    is_added,
    is_in,
)
from parlour.client.own_list import Room
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.groups.records import GroupState, Want
from parlour.conversation.groups.view import GroupView, LinkView
from parlour.conversation.machine import Machine
from parlour.conversation.policies import SUITE_1, XWING, XWING_256
from parlour.errors import Code, LimitError, ParlourError, UsageError, error
from parlour.roster import Kind, Role
from parlour.roster.links import JoinLink

T = TypeVar("T")

KINDS: Final = {"group": Kind.GROUP, "family": Kind.FAMILY, "room": Kind.CHANNEL}
SUITES: Final = {"mls": SUITE_1, "mls-xwing": XWING, "mls-xwing-256": XWING_256}
# Of a link, when nothing else is said.
LINK_DAYS: Final = 7
MAX_LINK_DAYS: Final = 30
_DAY: Final = 24 * 3_600_000
# People who are looked up at once.
_LOOKING: Final = 16
# Seconds to wait where the server named no time, and the longest that is waited for it. A limit
# that lasts longer is told of: nobody would know why nothing goes on.
_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group. `devices` follow it; who has just come may have none yet."""

    account_id: bytes
    name: str
    role: Role
    devices: int
    verification: Verification
    mine: bool


class Find(Protocol):
    """Finds an account by its exact name (`People.find`)."""

    async def __call__(self, name: str, /) -> Contact:
        """Raises where there is none."""
        ...


class Groups:
    """`Client.groups`. A group is named by its name, with or without ``#``, or by its id in hex.

    Calls raise `GROUP_UNKNOWN` and `GROUP_AMBIGUOUS` for names, `ROSTER_FORBIDDEN` for what the
    role does not allow, and what else stands in the way. `NETWORK_TIMEOUT` when nothing goes on for
    `timeout` seconds: what is wanted stays on this device, and comes true later.
    """

    def __init__(self, room: Room, find: Find) -> None:
        self._room = room
        self._find = find

    @property
    def _machine(self) -> Machine:
        return self._room.engine.machine

    # --- Which there are -----------------------------------------------------------------

    def list(self, *, over: bool = False) -> Sequence[GroupView]:
        """The groups that we are in or invited to, by name; with `over` also those of the past."""
        found = [each for each in self._machine.groups.values() if over or not each.is_over]
        return sorted(found, key=lambda each: (each.name.casefold(), each.id))

    def get(self, name: str | bytes) -> GroupView:
        """The group of that name or id; where several have the name, one that is not over.

        Raises `GROUP_UNKNOWN`, and `GROUP_AMBIGUOUS` with the ids.
        """
        return self._machine.group(self.find(name))

    def find(self, name: str | bytes) -> bytes:
        """The id of that group; raises as `get` does."""
        if isinstance(name, bytes):
            return name
        names, wanted = self._machine.group_names, name.removeprefix(MARK)
        found = [group for group, each in names.items() if is_named(group, each.name, wanted)]
        found = [group for group in found if not names[group].is_over] or found
        if not found:
            raise error(Code.GROUP_UNKNOWN, wanted)
        if len(found) > 1:
            ids = ", ".join(sorted(MARK + short_id(group) for group in found))
            raise error(Code.GROUP_AMBIGUOUS, f"{wanted}: {ids}")
        return found[0]

    def label(self, group: bytes) -> str:
        """What people call a group: ``#name``, or more where that says too little. Not escaped."""
        return self.labels().get(group) or label(group)

    def labels(self) -> dict[bytes, str]:
        """The same for all groups."""
        return labels(self._machine.group_names)

    def members(self, name: str | bytes) -> Sequence[Member]:
        """Everybody in a group, the highest roles first."""
        contacts, own = self._machine.contacts, self._machine.account_id
        found = []
        for each in self.get(name).members:
            contact = contacts.get(each.account_id)
            verification = Verification.UNVERIFIED if contact is None else contact.verification
            called = each.account_id.hex() if contact is None else contact.name
            mine = each.account_id == own
            found.append(
                Member(each.account_id, called, each.role, each.devices, verification, mine)
            )
        return found

    def awaited(self, name: str | bytes) -> Sequence[str]:
        """Who is to come into a group, and can't yet: no device of theirs has been online."""
        contacts = self._machine.contacts
        coming = self._machine.group_coming(self.find(name))
        return sorted(contacts[each].name for each in coming if each in contacts)

    # --- Found ---------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        members: Collection[str] = (),
        *,
        kind: str = "group",
        suite: str | None = None,
        preset: str | None = None,
        timeout: float = PATIENCE,
        progress: Progress | None = None,
    ) -> GroupView:
        """Found a group with these people, by their exact names.

        `kind` is one of `KINDS`. `suite` is one of `SUITES`; without it, X-Wing where all devices
        support it and there are no more than 700. A group keeps its suite, and by it has room for
        `GroupView.max_leaves` devices: whoever expects more than some 350 people takes ``mls``.
        `preset` says what the group is (`parlour policy list`); the person's own by default.

        Raises `GROUP_FULL` for more people or devices than that, before anything is asked for.
        """
        chosen_kind = _choice(KINDS, kind, "kinds of groups")
        chosen = None if suite is None else int(_choice(SUITES, suite, "suites"))
        accounts = await self._accounts(members, progress)
        group = await self._room.engine.step(
            lambda machine, now: machine.create_group(
                chosen_kind, name, accounts, now, suite=chosen, preset=preset
            )
        )
        waiter = Waiting(self._room, group, Want.ADD.value, timeout, progress)
        await waiter.until(lambda step: step.state is GroupState.ACTIVE and is_added(step), is_in)
        return self.get(group)

    async def _accounts(self, names: Collection[str], progress: Progress | None) -> Sequence[bytes]:
        """Look everybody up; raises for the first who is not found."""
        wanted = list(dict.fromkeys(names))
        turns, found = asyncio.Semaphore(_LOOKING), 0

        async def look(name: str) -> bytes:
            nonlocal found
            async with turns:
                contact = await self._patiently(name)
            found += 1
            if progress is not None:
                progress(Step("people", found, len(wanted)))
            return contact.account_id

        try:
            async with asyncio.TaskGroup() as looking:
                tasks = [looking.create_task(look(name)) for name in wanted]
        except BaseExceptionGroup as failures:
            raise _first_of(failures) from None
        return [task.result() for task in tasks]

    async def _patiently(self, name: str) -> Contact:
        """Find somebody; a server that says "in a moment" is asked then.

        Raises `LIMIT_RATE` for a longer pause, with `retry_after`. Who was found until then is
        known, and costs nothing when the same is asked again.
        """
        while True:
            try:
                return await self._find(name)
            except LimitError as full:
                if full.code is not Code.LIMIT_RATE:
                    raise
                pause = _PAUSE if full.retry_after is None else full.retry_after / 1000
                if pause > _LONGEST_PAUSE:
                    raise
                await asyncio.sleep(pause)

    # --- People --------------------------------------------------------------------------

    async def add(
        self,
        name: str | bytes,
        members: Collection[str],
        *,
        role: Role = Role.MEMBER,
        timeout: float = PATIENCE,
        progress: Progress | None = None,
    ) -> GroupView:
        """Bring people in, with all their devices. They read what is said from then on.

        Who has no device that was ever online comes in later, by itself: see `awaited`. Raises
        `GROUP_FULL` where there is no room for all of them, and then adds nobody.
        """
        group = self.find(name)
        accounts = await self._accounts(members, progress)
        return await self._want(
            group,
            Want.ADD,
            lambda machine, now: machine.group_add(group, accounts, now, role),
            timeout=timeout,
            progress=progress,
            true=is_added,
            complete=is_in,
        )

    async def remove(
        self, name: str | bytes, members: Collection[str], *, timeout: float = PATIENCE
    ) -> GroupView:
        """Put people out, with all their devices: they read nothing that is said from then on."""
        group = self.find(name)
        accounts = [self._member(group, member) for member in members]
        return await self._want(
            group,
            Want.REMOVE,
            lambda machine, now: machine.group_remove(group, accounts, now),
            timeout=timeout,
        )

    async def set_role(
        self, name: str | bytes, member: str, role: Role, *, timeout: float = PATIENCE
    ) -> GroupView:
        """Give somebody another role."""
        group = self.find(name)
        account = self._member(group, member)
        return await self._want(
            group,
            Want.ROLE,
            lambda machine, now: machine.group_set_role(group, account, role, now),
            timeout=timeout,
        )

    def _member(self, group: bytes, name: str) -> bytes:
        """The account of somebody who is in a group, by their name."""
        local, _, server = name.partition("@")
        for each in self.members(group):
            if each.name == local.casefold() and server in ("", self._room.account.server):
                return each.account_id
        raise error(Code.GROUP_NO_MEMBER, name)

    async def rename(
        self, name: str | bytes, new_name: str, *, timeout: float = PATIENCE
    ) -> GroupView:
        """Give a group another name, which the server never learns."""
        group = self.find(name)
        return await self._want(
            group,
            Want.RENAME,
            lambda machine, now: machine.group_rename(group, new_name, now),
            timeout=timeout,
        )

    async def refresh(self, name: str | bytes, *, timeout: float = PATIENCE) -> GroupView:
        """Renew this device's keys in a group, as happens by itself from time to time."""
        group = self.find(name)
        return await self._want(
            group,
            Want.UPDATE,
            lambda machine, now: machine.group_refresh(group, now),
            timeout=timeout,
        )

    # --- Coming and going ----------------------------------------------------------------

    async def accept(self, name: str | bytes) -> None:
        """Say yes to being in a group; what was said so far comes as events, and is in `unread`."""
        group = self.find(name)
        await self._room.engine.step(lambda machine, now: machine.accept_group(group, now))

    async def decline(self, name: str | bytes, *, timeout: float = PATIENCE) -> None:
        """Say no, and go: what was said there is deleted."""
        await self._go(self.find(name), Machine.decline_group, timeout)

    async def leave(self, name: str | bytes, *, timeout: float = PATIENCE) -> None:
        """Go. What was said stays here.

        On return the server has our word for it, and nothing more is shown or said here. The next
        member who is there takes our devices out.
        """
        await self._go(self.find(name), Machine.group_leave, timeout)

    async def _go(
        self, group: bytes, act: Callable[[Machine, bytes, int], None], timeout: float
    ) -> None:
        await self._room.engine.step(lambda machine, now: act(machine, group, now))
        waiter = Waiting(self._room, group, Want.LEAVE.value, timeout)
        await waiter.until(lambda step: step.told or step.state is GroupState.LEFT)

    # --- Links ---------------------------------------------------------------------------

    def links(self, name: str | bytes) -> Sequence[LinkView]:
        """The links by which people may come into a group. Their text is not kept."""
        return self.get(name).links

    async def open_link(
        self,
        name: str | bytes,
        *,
        role: Role = Role.MEMBER,
        uses: int = 1,
        days: int = LINK_DAYS,
        timeout: float = PATIENCE,
    ) -> JoinLink:
        """Make a link by which `uses` people may come in, in that role, for so many days.

        Hand `to_text()` over: whoever has it can come in. It is not kept anywhere.
        """
        if not 1 <= days <= MAX_LINK_DAYS:
            raise UsageError(Code.USAGE_INVALID, f"a link is good for 1 to {MAX_LINK_DAYS} days")
        group, account = self.find(name), self._room.account
        pin, founded = account.pins[0] if account.pins else None, self.get(group).genesis
        link = JoinLink.create(account.server, pin, group, founded.hash())
        await self._want(
            group,
            Want.OPEN_LINK,
            lambda machine, now: machine.group_open_link(
                link, now, role=role, uses=uses, expires_at=now + days * _DAY
            ),
            timeout=timeout,
        )
        return link

    async def close_link(
        self, name: str | bytes, link: JoinLink | str, *, timeout: float = PATIENCE
    ) -> GroupView:
        """Let nobody come in by a link any more: the link, its text, or the beginning of its id."""
        group = self.get(name)
        link_id = _link_id(group, link)
        return await self._want(
            group.id,
            Want.CLOSE_LINK,
            lambda machine, now: machine.group_close_link(group.id, link_id, now),
            timeout=timeout,
        )

    async def join(
        self,
        link: JoinLink | str,
        *,
        timeout: float = PATIENCE,
        progress: Progress | None = None,
    ) -> GroupView:
        """Come into a group by a link, or the text of one. Raises `GROUP_LINK` where it is void."""
        read = JoinLink.from_text(link) if isinstance(link, str) else link
        if read.server != self._room.account.server:
            raise UsageError(Code.USAGE_INVALID, f"the link is for {read.server}")
        waiter = Waiting(self._room, read.stream, "join", timeout, progress)
        await self._room.engine.step(lambda machine, now: machine.join_by_link(read, now))
        await waiter.until(
            lambda step: step.state is GroupState.ACTIVE, lambda step: step.named and is_in(step)
        )
        return self.get(read.stream)

    # --- How far we have read ------------------------------------------------------------

    async def mark_read(self, name: str | bytes, up_to: int | None = None) -> None:
        """A person has seen what was said in a group: to a number, or all that is here.

        Our other devices hear of it.
        """
        group = self.find(name)

        def mark(machine: Machine, now: int) -> None:
            if up_to is None:
                machine.mark_all_read(group, now)
            else:
                machine.mark_read(group, up_to, now)

        await self._room.engine.step(mark)

    # --- Waiting -------------------------------------------------------------------------

    async def _want(
        self,
        group: bytes,
        want: Want,
        act: Callable[[Machine, int], None],
        *,
        timeout: float,
        progress: Progress | None = None,
        true: Reached | None = None,
        complete: Reached = lambda _: True,
    ) -> GroupView:
        waiter = Waiting(self._room, group, want.value, timeout, progress)
        await self._room.engine.step(act)
        await waiter.until(true or (lambda step: want not in step.wishes), complete)
        return self.get(group)


def _choice(known: Mapping[str, T], name: str, what: str) -> T:
    if name not in known:
        raise UsageError(Code.USAGE_INVALID, f"{what} are {', '.join(known)}")
    return known[name]


def _link_id(group: GroupView, link: JoinLink | str) -> bytes:
    if isinstance(link, str) and link.strip().startswith("parlour:"):
        link = JoinLink.from_text(link)
    if isinstance(link, JoinLink):
        return link.link_id
    wanted = link.strip().casefold()
    found = [each.link_id for each in group.links if each.link_id.hex().startswith(wanted)]
    if len(wanted) < SHORT_ID or len(found) != 1:
        raise UsageError(Code.USAGE_INVALID, "no link of that group, or several")
    return found[0]


def _first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    known = failures.subgroup(ParlourError) or failures
    return known.exceptions[0]
