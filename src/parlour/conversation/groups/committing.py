"""From a plan to a commit on its way.

A commit is made when the group is followed to its end, the lists that it rests on are current, and
there is a key package for each device that comes. What was made is on disk before it leaves, and
exactly that is sent until the server says who won the epoch. A commit that lost is forgotten; what
it was for is planned anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import structs

from parlour.conversation.events import GroupRefused
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.plan import Plan, Planning
from parlour.conversation.groups.records import Pending, Sent, Want
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.groups.turns import retry_after, turn_after
from parlour.conversation.groups.unlisted import Unlisted
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.policies import max_leaves
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, SecurityStop, error
from parlour.mls.private.committing import CommitOptions
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.group import Group
from parlour.mls.public.extensions import Extension
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import GroupContextExtensions, Proposal, Remove, Update
from parlour.mls.public.suites import find_suite
from parlour.mls.public.welcome_parts import split_welcome
from parlour.primitives.hashes import equal
from parlour.roster.changes import (
    Added,
    Change,
    Left,
    LinkClosed,
    LinkOpened,
    Named,
    Removed,
    RoleSet,
    encode_change,
    leave_statement,
)
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE
from parlour.roster.readding import MAX_WISH_AGE, ReaddWish
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import encode_body as encode_request
from parlour.wire.groups import CommitBody, Handshake, ProposalBody, encode_body
from parlour.wire.ids import ID_SIZE
from parlour.wire.limits import MAX_HANDSHAKE_BODY, MAX_WISHES
from parlour.wire.streams import Part

# What of a person each change of a roster fulfils.
_WANTS: Final[Mapping[type[Change], Want]] = {
    Added: Want.ADD,
    Removed: Want.REMOVE,
    RoleSet: Want.ROLE,
    Named: Want.RENAME,
    LinkOpened: Want.OPEN_LINK,
    LinkClosed: Want.CLOSE_LINK,
}
_DAY: Final = 24 * 3_600_000
# Refusals of a commit in a row before what it was for is given up.
MAX_ATTEMPTS: Final = 8
# A plan that was empty is made again after so long, in milliseconds.
LOOK_AGAIN: Final = 10 * 60_000
# Of a commit, in bytes: what stands around its proposals and its path, and around each ciphertext.
_COMMIT_OVERHEAD: Final = 56 << 10
_PATH_OVERHEAD: Final = 72
# A device without a key package is left out so long (ms), doubled each time, up to a day.
LEFT_OUT_FOR: Final = 10 * 60_000
_MAX_DOUBLINGS: Final = 8
# A wish to be added again is fulfilled so long (ms); commits by others' clocks come a little later.
GOOD_FOR: Final = MAX_WISH_AGE * 9 // 10
# A leave that nobody has entered by then is asked for again, in milliseconds.
LEAVE_AGAIN: Final = 60_000


class Committing:
    """Makes our commits, and proposals to leave."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        unlisted: Unlisted,
        key_packages: KeyPackages,
        targets: KeyPackageTargets,
        planning: Planning,
        renewing: Renewing,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._unlisted = unlisted
        self._key_packages = key_packages
        self._targets = targets
        self._planning = planning
        self._renewing = renewing
        # Devices that asked to be added again, with their wishes and key packages, by group.
        self._wishes: dict[bytes, dict[bytes, tuple[ReaddWish, KeyPackage]]] = {}
        # Devices that have no key package for now, and until when they are left out (ms).
        self._left_out: dict[tuple[int, bytes], int] = {}
        self._times_left_out: dict[tuple[int, bytes], int] = {}

    # --- Whether and when ----------------------------------------------------------------

    def begin(self, chat: Chat, now: int) -> bool:
        """Make a commit if one is due; whether one waits to be sent now."""
        for name in [name for name, at in chat.timers.items() if at <= now]:
            del chat.timers[name]
        if chat.record.pending is not None:
            return True
        if not chat.is_active or chat.waiting:
            return False
        self._leave(chat, now)
        if chat.record.pending is not None:
            return True
        situation = self._situation(chat, now)
        if chat.content_in == situation:
            return False
        plan = self._plan(chat, now)
        if plan.is_empty:
            chat.content_in = situation
        if plan.is_empty or not self._is_due(chat, plan, now):
            return False
        unread = self._lists.unread(self._touched(chat, plan))
        if unread and not self._unlisted.are_late(chat, unread, now):
            return False
        # What rests on a list that can't be read waits; the rest does not.
        plan.leave_alone(unread)
        if plan.is_empty:
            return False
        packages = self._packages(chat, plan, now)
        if packages is None:
            return False
        packages = self._coming(chat, plan, packages)
        if plan.is_empty:
            return False
        self._planning.close_ended(chat, plan, now)
        self._commit(chat, plan, packages, now)
        return chat.record.pending is not None

    def _situation(self, chat: Chat, now: int) -> tuple[object, ...]:
        """All that a plan depends on: where it is empty, none is made until this is another."""
        return (
            chat.record.generation,
            chat.epoch,
            chat.known_roster().number,
            self._memory.contact_changes,
            tuple(i.intent_id for i in self._groups.intents_of(chat.id)),
            tuple(sorted(self._wishes.get(chat.id, ()))),
            len(chat.live().proposals),
            len(chat.record.leaving),
            self._refreshes(chat, now),
            # What runs out by itself: certificates, and devices that were left out for a while.
            now // LOOK_AGAIN,
        )

    def next_timeout(self, chat: Chat) -> int | None:
        """When a turn of ours comes."""
        rests = chat.timers.get("retry", 0)
        turns = [max(at, rests) for at in chat.due.values()]
        return min([*turns, *chat.timers.values()], default=None)

    def _plan(self, chat: Chat, now: int) -> Plan:
        refresh = self._refreshes(chat, now)
        wishing = [
            device
            for device, (wish, _) in self._wishes.get(chat.id, {}).items()
            if now < wish.at + GOOD_FOR and chat.takes_wish(wish)
        ][:MAX_WISHES]
        plan = self._planning.make(chat, wishing, now, refresh=refresh)
        for intent in plan.fulfilled:
            if intent.want is Want.RENAME:
                # By a commit of ours that we could not follow: nobody else has the name.
                chat.record.name, chat.record.salt = intent.name, intent.salt
                chat.describe_at = now
                self._groups.put(chat)
            self._groups.fulfilled(intent.intent_id)
        for intent, problem in plan.refused:
            self._groups.fulfilled(intent.intent_id)
            self._memory.tell(chat, GroupRefused(chat.id, intent.want.value, problem.code))
        suite = chat.genesis.suite
        plan.add = [each for each in plan.add if not self.is_left_out(suite, each[1], now)]
        room = max_leaves(suite) - len(chat.owners) + len(plan.remove)
        if len(plan.add) > room:
            self._memory.count("group.full")
            outside = {account for account, _ in plan.add[room:]}
            refused = self._refuse_accounts(chat, plan, outside)
            plan.add = [each for each in plan.add[:room] if each[0] not in refused]
        plan.keep_lost()
        return plan

    def _refuse_accounts(self, chat: Chat, plan: Plan, outside: set[bytes]) -> set[bytes]:
        """Want those accounts no more that are new and have no room: it was taken meanwhile.

        Of who is in already, a device waits outside until there is room.
        """
        changes = [each for each in plan.changes if isinstance(each, Added)]
        refused = [each for each in changes if each.account in outside]
        for change in refused:
            plan.changes.remove(change)
            self._give_up(chat, plan, change, error(Code.GROUP_FULL))
        plan.bind = plan.behind or bool(plan.changes)
        return {change.account for change in refused}

    def is_left_out(self, suite: int, device_id: bytes, now: int) -> bool:
        """Whether there was no key package of a device: it is tried again later."""
        return now < self._left_out.get((suite, device_id), 0)

    def wished(self, chat: Chat, wish: ReaddWish, data: bytes, now: int) -> None:
        """A device asks to be taken out and in again, by the key package in `data`.

        Who it is was found out before. Raises what is wrong with the key package.
        """
        self.try_again(chat, wish.device)
        target = (wish.account, wish.device)
        package = self._targets.verified(chat.genesis.suite, target, data, now // 1000)
        if not equal(package.reference(find_suite(chat.genesis.suite)), wish.package):
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "another one than the wish names")
        self._wishes.setdefault(chat.id, {})[wish.device] = wish, package

    def readded(self, chat: Chat, device_ids: Iterable[bytes]) -> None:
        """These devices came in."""
        wishes = self._wishes.get(chat.id, {})
        for device_id in device_ids:
            wishes.pop(device_id, None)

    def _leave_out(self, chat: Chat, device_id: bytes, now: int) -> None:
        """Go on without a device, and try again after a while, each time a longer one.

        Where two talk, nothing may be said until the other is there: then it is no longer.
        """
        suite = chat.genesis.suite
        times = self._times_left_out[suite, device_id] = (
            self._times_left_out.get((suite, device_id), 0) + 1
        )
        longest = LEFT_OUT_FOR if chat.is_direct else _DAY
        pause = min(LEFT_OUT_FOR << min(times - 1, _MAX_DOUBLINGS), longest)
        self._left_out[suite, device_id] = chat.timers["left out"] = now + pause
        self._memory.count("device.left_out")

    def try_again(self, chat: Chat, device_id: bytes) -> None:
        """A device says that it is there."""
        for table in (self._left_out, self._times_left_out):
            table.pop((chat.genesis.suite, device_id), None)
        chat.content_in = ()

    def _refreshes(self, chat: Chat, now: int) -> bool:
        """Whether our own keys have served long enough."""
        due = self._renewing.due_at(chat)
        if due > now:
            chat.timers["renew"] = due
        wished = [i for i in self._groups.intents_of(chat.id) if i.want is Want.UPDATE]
        return due <= now or bool(wished)

    def _is_due(self, chat: Chat, plan: Plan, now: int) -> bool:
        """Whether it is our turn: at once for our own wishes, in turns for what anybody can do."""
        urgent = plan.is_ours or plan.refresh
        # Nothing is said while somebody could read who should not: who wants to speak acts.
        waiting = chat.conversation in self._memory.queues
        urgent |= bool(plan.remove or plan.proposals) and waiting
        # Between two people, what is said waits for all their devices.
        urgent |= chat.is_direct and bool(plan.add) and waiting
        rests = chat.timers.get("retry", 0) > now
        if urgent or rests:
            return not rests
        due = False
        for need in plan.needs:
            if need not in chat.due:
                chat.due[need] = now + self._turn(chat, plan, need)
            due |= chat.due[need] <= now
        for name in list(chat.due):
            if name not in plan.needs:
                del chat.due[name]
        return due

    def _turn(self, chat: Chat, plan: Plan, need: str) -> int:
        preferring = b""
        if need == "add":
            preferring = plan.add[0][0]
        rank = chat.rank(of=self._memory.device_id, preferring=preferring)
        return turn_after(rank, self._memory.random)

    def _touched(self, chat: Chat, plan: Plan) -> list[bytes]:
        """The accounts whose lists the plan rests on.

        An account that goes is put out whatever its list says, also where there is none any more.
        """
        gone = {each.account for each in plan.changes if isinstance(each, (Removed, Left))}
        staying = chat.known_roster().state.members.keys() - gone
        touched = {account for account, _ in plan.add}
        touched |= {owner.account_id for owner in plan.removed if owner.account_id in staying}
        return sorted(touched)

    # --- Key packages --------------------------------------------------------------------

    def _packages(self, chat: Chat, plan: Plan, now: int) -> list[KeyPackage] | None:
        """One key package for each device that comes; None while they are fetched."""
        if not plan.add:
            return []
        suite = chat.genesis.suite
        # Who comes again has said by which; any other is refused.
        wishes = self._wishes.get(chat.id, {})
        packages = {device: wishes[device][1] for device in plan.again}
        fetched = [each for each in plan.add if each[1] not in packages]
        self._targets.want(suite, fetched)
        ready = self._targets.ready(suite, fetched)
        if ready is None:
            return None
        for device_id in ready.missing:
            self._leave_out(chat, device_id, now)
        packages |= ready.packages
        plan.add = [each for each in plan.add if each[1] in packages]
        plan.keep_lost()
        return [packages[device_id] for _, device_id in plan.add]

    # --- The commit ----------------------------------------------------------------------

    def _coming(self, chat: Chat, plan: Plan, packages: list[KeyPackage]) -> list[KeyPackage]:
        """As many devices as a commit can carry, and of the new accounts those that have one.

        Nobody is on a roster of whom no device can read (`server/groups`). The others come with
        the next commit, or when there is a key package of theirs.
        """
        packages, plan.add = _fitting(chat, packages, plan.add)
        plan.keep_lost()
        coming = {account for account, _ in plan.add}
        late = {
            change.account
            for change in plan.changes
            if isinstance(change, Added) and change.account not in coming
        }
        if late:
            plan.changes = [
                change
                for change in plan.changes
                if not (isinstance(change, Added) and change.account in late)
            ]
            intents = self._groups.intents
            plan.intents = [
                intent_id
                for intent_id in plan.intents
                if intents[intent_id].want is not Want.ADD
                or not late.intersection(intents[intent_id].accounts)
            ]
            plan.bind = plan.behind or bool(plan.changes)
        return packages

    def _commit(self, chat: Chat, plan: Plan, packages: list[KeyPackage], now: int) -> None:
        group = chat.live()
        ready = {device: each for (_, device), each in zip(plan.add, packages, strict=True)}
        entry = self._entry(chat, plan, now)
        if plan.is_empty:
            return
        packages = [ready[device_id] for _, device_id in plan.add]
        proposals = self._proposals(chat, plan, entry)
        identity = self._key_packages.identity(chat.genesis.suite, now // 1000)
        options = CommitOptions(
            ratchet_tree=False, group_info=True, identity=identity, unwanted=_unwanted(group)
        )
        pending = group.commit(
            now // 1000,
            adds=packages,
            removes=plan.remove,
            proposals=proposals,
            options=options,
            random=self._memory.random,
        )
        try:
            self._send_commit(chat, plan, pending, packages, entry, now)
        except ParlourError:
            # What is not sent must not stand in the way of the next one.
            group.clear_pending()
            raise
        self._targets.used([device_id for _, device_id in plan.add])

    def _send_commit(
        self,
        chat: Chat,
        plan: Plan,
        pending: PendingCommit,
        packages: list[KeyPackage],
        entry: RosterEntry | None,
        now: int,
    ) -> None:
        info, parts = b"", []
        if pending.welcome is not None:
            info, secrets = split_welcome(pending.welcome)
            by_reference = {
                package.reference(chat.live().current.suite): device_id
                for package, (_, device_id) in zip(packages, plan.add, strict=True)
            }
            parts = [Part(by_reference[ref], data) for ref, data in secrets.items()]
        roster = [] if entry is None else [entry.encode()]
        wishes = self._wishes.get(chat.id, {})
        shown = [wishes[device][0].encode() for device in sorted(plan.again)]
        body = CommitBody(chat.record.generation, pending.commit, roster, info, shown)
        self._send(
            chat,
            SuiteId.MLS_COMMIT,
            encode_body(body),
            parts,
            pending.group_info or b"",
            plan.intents,
            now,
        )

    def _send(
        self,
        chat: Chat,
        suite: SuiteId,
        body: bytes,
        parts: list[Part],
        group_info: bytes,
        intents: list[bytes],
        now: int,
    ) -> None:
        client_id = self._memory.random(ID_SIZE)
        handshake = Handshake(
            stream=chat.id,
            client_id=client_id,
            generation=chat.record.generation,
            epoch=chat.epoch,
            envelope=Envelope(ENVELOPE_FORMAT, suite, b"", body),
            parts=parts,
            group_info=group_info,
        )
        chat.record.pending = Pending(
            Sent.PROPOSAL if suite is SuiteId.MLS_PROPOSAL else Sent.COMMIT,
            client_id,
            encode_request(handshake),
            chat.record.generation,
            chat.epoch,
            intents,
        )
        self._groups.put(chat)
        self._groups.put_state(chat)

    def _entry(self, chat: Chat, plan: Plan, now: int) -> RosterEntry | None:
        """The roster entry of the changes; those that are refused are dropped, and told of."""
        if not plan.changes:
            return None
        try:
            return self._next_entry(chat, plan.changes, now)
        except ParlourError:
            return self._without_refused(chat, plan, now)

    def _next_entry(self, chat: Chat, changes: list[Change], now: int) -> RosterEntry:
        local = self._memory.local
        return chat.known_roster().next_entry(
            changes,
            self._memory.account_id,
            self._memory.device_id,
            local.signature_key,
            now,
            self._lists.find_key,
        )

    def _without_refused(self, chat: Chat, plan: Plan, now: int) -> RosterEntry | None:
        """One change at a time, so that one that is not allowed does not stop the others.

        Devices of whom the roster does not let come or go stay as they are: nobody follows else.
        """
        good: list[Change] = []
        refused: set[bytes] = set()
        for change in plan.changes:
            try:
                self._next_entry(chat, [*good, change], now)
            except ParlourError as problem:
                self._give_up(chat, plan, change, problem)
                if isinstance(change, (Added, Removed, Left)):
                    refused.add(change.account)
            else:
                good.append(change)
        plan.changes = good
        plan.leave_alone(refused)
        plan.bind = plan.behind or bool(good)
        return self._next_entry(chat, good, now) if good else None

    def _give_up(self, chat: Chat, plan: Plan, change: Change, problem: ParlourError) -> None:
        """Want this change no more; what else was wanted with it stays."""
        want, account = _WANTS.get(type(change)), getattr(change, "account", b"")
        if want is None:
            data = encode_change(change)
            chat.record.leaving = [each for each in chat.record.leaving if each != data]
            self._groups.put(chat)
            return
        self._memory.tell(chat, GroupRefused(chat.id, want.value, problem.code))
        for intent_id in list(plan.intents):
            intent = self._groups.intents[intent_id]
            if intent.want is not want or (account and account not in intent.accounts):
                continue
            others = [each for each in intent.accounts if each != account]
            if others:
                self._groups.put_intent(structs.replace(intent, accounts=others))
            else:
                plan.intents.remove(intent_id)
                self._groups.fulfilled(intent_id)

    def _proposals(self, chat: Chat, plan: Plan, entry: RosterEntry | None) -> list[Proposal]:
        """The proposal that binds the epoch to the newest entry of the roster."""
        roster = chat.known_roster()
        if entry is not None:
            roster = roster.extend(entry, self._lists.find_key)
        elif not plan.bind:
            return []
        extensions = chat.live().extensions
        bound = extensions.with_(Extension(EXTENSION_TYPE, roster.binding.encode()))
        return [GroupContextExtensions(bound)]

    # --- Leaving -------------------------------------------------------------------------

    def _leave(self, chat: Chat, now: int) -> None:
        """Ask to be taken out, with a statement that anybody may enter into the roster."""
        intents = [i for i in self._groups.intents_of(chat.id) if i.want is Want.LEAVE]
        own = self._memory.account_id
        roster = chat.known_roster()
        member = roster.state.members.get(own)
        if not intents or member is None or len(roster.state.members) == 1:
            return
        group, here = chat.live(), (chat.record.generation, chat.epoch)
        if chat.leave_asked == here or now < chat.timers.get("leave", 0):
            return
        chat.leave_asked = here
        statement = leave_statement(
            roster.state.roster_id, own, member.since, self._memory.local.signature_key
        )
        proposal = group.propose(Remove(group.own_leaf), now // 1000, random=self._memory.random)
        body = ProposalBody(chat.record.generation, proposal, encode_change(statement))
        # It is covered by somebody else's commit; asked again if none comes.
        chat.timers["leave"] = now + LEAVE_AGAIN
        self._send(chat, SuiteId.MLS_PROPOSAL, encode_body(body), [], b"", [], now)

    # --- Answers -------------------------------------------------------------------------

    def lost(self, chat: Chat, now: int) -> None:
        """Another commit won the epoch, or the server would not have ours."""
        if chat.record.pending is not None:
            # If the winner was merged already, that has counted it.
            chat.record.pending = None
            chat.losses += 1
            self._memory.count("commit.lost")
        chat.live().clear_pending()
        self._groups.put_state(chat)
        chat.timers["retry"] = now + retry_after(chat.losses, self._memory.random)
        self._groups.put(chat)

    def refused(self, chat: Chat, problem: ParlourError, now: int) -> None:
        """The server says that ours is not valid: most likely we are behind; else give up."""
        pending = chat.record.pending
        # It may be for a wish that is too old by the server's clock: whoever needs it asks again.
        self._wishes.pop(chat.id, None)
        chat.attempts += 1
        if pending is not None and chat.attempts >= MAX_ATTEMPTS:
            self._give_up_all(chat, pending.intents, problem)
        self.lost(chat, now)

    def failed(self, chat: Chat, problem: ParlourError, now: int) -> None:
        """Something here can't be done: drop what was made; in the end, what it was for."""
        self._memory.count("group.failed")
        self.drop(chat)
        chat.attempts += 1
        if chat.attempts >= MAX_ATTEMPTS:
            self._give_up_all(
                chat, [i.intent_id for i in self._groups.intents_of(chat.id)], problem
            )

    def _give_up_all(self, chat: Chat, intents: list[bytes], problem: ParlourError) -> None:
        for intent in [i for i in self._groups.intents_of(chat.id) if i.intent_id in intents]:
            self._memory.tell(chat, GroupRefused(chat.id, intent.want.value, problem.code))
            self._groups.fulfilled(intent.intent_id)
        chat.attempts = 0

    def drop(self, chat: Chat) -> None:
        """Give up what was made for an epoch that is not ours any more."""
        pending = chat.record.pending
        if pending is not None and pending.what in (Sent.COMMIT, Sent.PROPOSAL):
            chat.record.pending = None
            if chat.group is not None:
                chat.group.clear_pending()
                self._groups.put_state(chat)


def _unwanted(group: Group) -> frozenset[bytes]:
    """Proposals that we cover with nothing: others may only propose to renew their own leaf.

    Whoever leaves is taken out by the roster. What a member and its server agree on beside that,
    an Add or other extensions, nobody has checked.
    """
    return frozenset(
        sent.reference
        for sent in group.proposals
        if sent.reference is not None and not isinstance(sent.proposal, Update)
    )


def _fitting(
    chat: Chat, packages: list[KeyPackage], add: list[tuple[bytes, bytes]]
) -> tuple[list[KeyPackage], list[tuple[bytes, bytes]]]:
    """As many as a commit can carry; the others come with the next one.

    Beside them it has the path: in a tree in which nobody has committed yet, a ciphertext for each
    leaf (RFC 9420 §7.5).
    """
    # What a KEM puts out is about as large as its key: 32 bytes, or 1,120 for 1,216.
    key = len(chat.live().members[0][1].encryption_key)
    path = len(chat.owners) * (key + _PATH_OVERHEAD)
    room = MAX_HANDSHAKE_BODY - _COMMIT_OVERHEAD - path
    for count, package in enumerate(packages):
        room -= len(package.encoded) + 8
        if room < 0:
            return packages[: max(count, 1)], add[: max(count, 1)]
    return packages, add
