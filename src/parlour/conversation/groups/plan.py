"""What a commit of ours should do now: what people want, and what the lists ask for.

Whatever differs in a group from what it should be (`census`) is put right by the next commit,
whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from parlour.conversation.groups.authorising import CLOCKS, binding_of
from parlour.conversation.groups.census import Census
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import LeafOwner
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.records import Intent, Want
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, error
from parlour.mls.public.types import LeafIndex
from parlour.roster.changes import (
    Added,
    Change,
    Left,
    LinkClosed,
    LinkOpened,
    Named,
    Removed,
    RoleSet,
    decode_change,
)
from parlour.roster.naming import name_commitment
from parlour.roster.roles import Right, Role
from parlour.roster.roster import Roster

# Devices that were away too long are looked for so often, in milliseconds.
LOOK_FOR_IDLE: Final = 3_600_000


@dataclass(slots=True)
class Plan:
    """The content of a commit, before any key package is at hand."""

    changes: list[Change] = field(default_factory=list)
    intents: list[bytes] = field(default_factory=list)
    refused: list[tuple[Intent, ParlourError]] = field(default_factory=list)
    fulfilled: list[Intent] = field(default_factory=list)
    # Devices that should have a leaf, and those among them that have one to be replaced.
    add: list[tuple[bytes, bytes]] = field(default_factory=list)
    again: set[bytes] = field(default_factory=set)
    remove: list[LeafIndex] = field(default_factory=list)
    removed: list[LeafOwner] = field(default_factory=list)
    # Whether the epoch has to name another roster entry, and whether it names an older one now.
    bind: bool = False
    behind: bool = False
    proposals: bool = False
    refresh: bool = False

    def keep_lost(self) -> None:
        """Leave devices in that were to come again, and don't: better one that can't follow."""
        lost = self.again - {device for _, device in self.add}
        self._keep_removing(lambda owner: owner.device_id not in lost)

    def leave_alone(self, accounts: Collection[bytes]) -> None:
        """Let none of the devices of these accounts come or go."""
        self.add = [each for each in self.add if each[0] not in accounts]
        self._keep_removing(lambda owner: owner.account_id not in accounts)

    def _keep_removing(self, goes: Callable[[LeafOwner], bool]) -> None:
        """Of the leaves that were to go, let only those go of whose owners that is true."""
        pairs = zip(self.remove, self.removed, strict=True)
        kept = [(index, owner) for index, owner in pairs if goes(owner)]
        self.remove = [index for index, _ in kept]
        self.removed = [owner for _, owner in kept]
        self.again &= {owner.device_id for owner in self.removed}

    @property
    def is_ours(self) -> bool:
        """Whether a person on this device waits for it."""
        return bool(self.intents)

    @property
    def needs(self) -> set[str]:
        """What is to be done that anybody could do, by name."""
        every = {
            "add": bool(self.add),
            "remove": bool(self.remove),
            "bind": self.bind,
            "proposals": self.proposals,
        }
        return {name for name, needed in every.items() if needed}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.needs or self.changes or self.refresh)


class Planning:
    """Compares what a group is with what it should be."""

    def __init__(self, memory: Memory, lists: Lists) -> None:
        self._memory = memory
        self._lists = lists
        self._census: dict[bytes, Census] = {}
        self._looked: dict[bytes, int] = {}
        self._found_idle: dict[bytes, list[LeafIndex]] = {}

    def make(self, chat: Chat, readd: Collection[bytes], now: int, *, refresh: bool) -> Plan:
        """The plan for a group that is followed. Device lists count as far as they are known.

        `readd` are devices that asked to be added again.
        """
        plan = Plan(refresh=refresh)
        roster = chat.known_roster()
        draft = self._wishes(chat, roster, plan)
        self._devices(chat, draft, readd, plan, now)
        binding = binding_of(chat.live().extensions)
        plan.behind = binding.number != roster.number
        plan.bind = plan.behind or bool(plan.changes)
        plan.proposals = self._covers(chat)
        return plan

    def _covers(self, chat: Chat) -> bool:
        """Whether there are proposals to be covered, if only so that somebody can speak again.

        That our own account goes is for others to enter: covered by us it would be gone, and be
        proposed once more, every minute for as long as nobody else is there.
        """
        group, intents = chat.live(), self._memory.groups.intents_of(chat.id)
        if not group.proposals or any(intent.want is Want.LEAVE for intent in intents):
            return False
        own = set(chat.leaves_of(self._memory.account_id))
        ours = all(sent.sender.leaf_index in own for sent in group.proposals)
        return not ours or chat.conversation in self._memory.queues

    def close_ended(self, chat: Chat, plan: Plan, now: int) -> None:
        """Let a commit that is made anyway close links that have ended, if we may.

        What the roster says, nobody has to ask a clock for.
        """
        state = chat.known_roster().state
        if not state.may(self._memory.account_id, Right.LINK):
            return
        closed = {each.link_id for each in plan.changes if isinstance(each, LinkClosed)}
        # First, as what comes after may take the right away.
        plan.changes[:0] = [
            LinkClosed(link_id)
            for link_id, link in state.links.items()
            if link.expires_at + CLOCKS < now and link_id not in closed
        ]
        plan.bind |= bool(plan.changes)

    # --- What people want ----------------------------------------------------------------

    def _wishes(self, chat: Chat, roster: Roster, plan: Plan) -> Mapping[bytes, object]:
        """Collect the changes of the roster; who is on it after them."""
        intents = self._memory.groups.intents_of(chat.id)
        if not intents and not chat.record.leaving:
            # As after most commits: a thousand members are not copied for nothing.
            return roster.state.members
        after = {account: member.role for account, member in roster.state.members.items()}
        own = self._memory.account_id
        for data in chat.record.leaving:
            change = decode_change(data)
            account = change.account  # type: ignore[union-attr]
            if account in after and account != own:
                plan.changes.append(change)
                del after[account]
        for intent in intents:
            try:
                changes = self._changes(chat, roster, after, intent)
            except ParlourError as problem:
                plan.refused.append((intent, problem))
                continue
            if changes is None:
                continue
            if not changes:
                plan.fulfilled.append(intent)
                continue
            plan.changes += changes
            plan.intents.append(intent.intent_id)
        return after

    def _changes(
        self, chat: Chat, roster: Roster, after: dict[bytes, Role], intent: Intent
    ) -> list[Change] | None:
        """What an intent still asks of the roster, if it is about that; raises if it may not."""
        match intent.want:
            case Want.ADD:
                new = [account for account in intent.accounts if account not in after]
                for account in new:
                    self._check_known(account)
                    after[account] = Role(intent.role)
                role = Role(intent.role)
                return [Added(each, role, self._lists.account_key(each)) for each in new]
            case Want.REMOVE:
                gone = [account for account in intent.accounts if account in after]
                for account in gone:
                    del after[account]
                return [Removed(account) for account in gone]
            case Want.ROLE:
                role = Role(intent.role)
                changed = [a for a in intent.accounts if after.get(a, role) != role]
                for account in changed:
                    after[account] = role
                return [RoleSet(account, role) for account in changed]
            case Want.RENAME:
                commitment = name_commitment(intent.salt, intent.name)
                return [] if roster.state.name_commitment == commitment else [Named(commitment)]
            case Want.OPEN_LINK:
                if intent.link_id in roster.state.links:
                    return []
                role = Role(intent.role)
                return [
                    LinkOpened(
                        intent.link_id, intent.public_key, role, intent.uses, intent.expires_at
                    )
                ]
            case Want.CLOSE_LINK:
                known = intent.link_id in roster.state.links
                return [LinkClosed(intent.link_id)] if known else []
            case Want.LEAVE | Want.UPDATE:
                return None
            case _:
                assert_never(intent.want)

    def _check_known(self, account: bytes) -> None:
        contact = self._memory.contacts.get(account)
        if contact is None:
            raise error(Code.ACCOUNT_UNKNOWN)
        if contact.stopped:
            raise error(Code.ACCOUNT_KEY_CHANGED, contact.name)

    # --- What the lists ask for ----------------------------------------------------------

    def census(self, chat: Chat) -> Census:
        """What differs in a group, compared by now."""
        census = self._census.setdefault(chat.id, Census())
        census.update(chat, self._memory, self._lists)
        return census

    def _devices(
        self,
        chat: Chat,
        members: Mapping[bytes, object],
        readd: Collection[bytes],
        plan: Plan,
        now: int,
    ) -> None:
        """Devices that should come and go, under the roster that the plan leads to."""
        census, own = self.census(chat), self._memory.device_id
        going = {index for leaves in census.surplus.values() for index in leaves}
        for change in plan.changes:
            # Who is asked in again by the same commit goes first, and comes as somebody new.
            if isinstance(change, Removed | Left):
                going.update(chat.leaves_of(change.account))
        going.update(self._idle(chat, now))
        again = [leaf for device in readd if (leaf := chat.leaf_of(device)) is not None]
        for index in sorted(going.union(again)):
            owner = chat.owners[index]
            if owner.device_id == own:
                continue
            plan.remove.append(index)
            plan.removed.append(owner)
            if index not in going:
                plan.again.add(owner.device_id)
                plan.add.append((owner.account_id, owner.device_id))
        coming = [change.account for change in plan.changes if isinstance(change, Added)]
        for account, devices in census.missing.items():
            if account in members and account not in coming:
                plan.add += [(account, device_id) for device_id in devices]
        for account in coming:
            devices = self._memory.contacts[account].device_ids()
            plan.add += [(account, device_id) for device_id in devices]

    def _idle(self, chat: Chat, now: int) -> list[LeafIndex]:
        """Leaves whose certificate has run out; looked for at times."""
        hour = now // LOOK_FOR_IDLE
        if self._looked.get(chat.id) != hour:
            self._looked[chat.id] = hour
            self._found_idle[chat.id] = [
                index for index, owner in chat.owners.items() if owner.expires_at <= now // 1000
            ]
        owners = chat.owners
        return [
            index
            for index in self._found_idle[chat.id]
            if index in owners and owners[index].expires_at <= now // 1000
        ]
