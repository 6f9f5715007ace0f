"""Coming into a group: by a Welcome, or by a commit of our own.

A Welcome comes in the entry of the commit that added us. The tree that goes with it is asked for,
and everything is checked before a key is used: tree, roster and device lists. A commit of our own
is for a link, and the last rung of the ladder (`repairing`).
"""

from __future__ import annotations

import contextlib
from typing import Final

from parlour.codec import decode
from parlour.conversation.events import GroupJoined
from parlour.conversation.groups.authorising import stored_at
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.entering import Entering, context_of, refused
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import NOWHERE, Acceptance, GroupState, Pending, Sent
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.groups.telling import difference_events
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.pending import Key
from parlour.conversation.requests import ServerRequest
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, error
from parlour.mls.private.external import ExternalJoin
from parlour.mls.private.group import Group, PendingJoin
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.private.joining import WelcomeJoin
from parlour.mls.public.framing.messages import PublicMessage
from parlour.mls.public.types import LeafIndex
from parlour.mls.public.welcome import EncryptedGroupSecrets
from parlour.mls.public.welcome_parts import join_welcome_parts
from parlour.primitives.hashes import equal
from parlour.roster.changes import Added, JoinedByLink
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.links import JoinLink
from parlour.roster.roles import FIXED_KINDS
from parlour.roster.roster import Roster
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import encode_body as encode_request
from parlour.wire.groups import (
    CommitBody,
    Handshake,
    LinkPass,
    ReadGroup,
    decode_body,
    encode_body,
)
from parlour.wire.groups import (
    GroupState as PublicState,
)
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry

READ_GROUP: Final = "read-group"
# Of so many wishes it is remembered for which group their key packages are: those of a day.
MAX_WISH_PACKAGES: Final = 64


class Joining:
    """Takes Welcomes, and makes commits from outside."""

    def __init__(
        self, memory: Memory, lists: Lists, key_packages: KeyPackages, renewing: Renewing
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._entering = Entering(memory, lists)
        self._key_packages = key_packages
        self._renewing = renewing
        # What is asked of the server, and what it answered; by group.
        self._asked: dict[bytes, ReadGroup] = {}
        self._answers: dict[bytes, PublicState] = {}
        self._failures: dict[bytes, ParlourError] = {}
        # Commits by which we join, until they have won. A restart makes another one.
        self._under_way: dict[bytes, PendingJoin] = {}

    # --- The public state ----------------------------------------------------------------

    def requests(self) -> list[ServerRequest]:
        """Public states that are wanted."""
        return [
            ServerRequest((READ_GROUP, group), Kind.READ_GROUP, asked)
            for group, asked in self._asked.items()
        ]

    def ask(self, group: bytes, link: LinkPass | None = None) -> None:
        """Ask for the group as it is now."""
        self._failures.pop(group, None)
        self._answers.pop(group, None)
        self._asked[group] = ReadGroup(group, link=link)

    def is_asked(self, group: bytes) -> bool:
        """Whether that is under way."""
        return group in self._asked

    def answered(self, group: bytes, state: PublicState) -> None:
        """What the server says of a group."""
        asked = self._asked.get(group)
        if state.stream != group:
            raise error(Code.SERVER_MISBEHAVED, "another group")
        if asked is not None and asked.epoch is not None:
            there = (state.generation, state.epoch)
            if there != (asked.generation, asked.epoch):
                raise error(Code.SERVER_MISBEHAVED, "another epoch of a group")
        self._asked.pop(group, None)
        self._answers[group] = state

    def failed(self, key: Key, problem: ParlourError) -> None:
        """The server does not give it."""
        self._asked.pop(key[1], None)
        self._failures[key[1]] = problem

    def answer(self, group: bytes) -> PublicState | None:
        """What was answered, if it was."""
        return self._answers.get(group)

    def failure(self, group: bytes) -> ParlourError | None:
        """Why it was not."""
        return self._failures.get(group)

    def done(self, group: bytes) -> None:
        """Nobody needs the state any more."""
        for kept in (self._asked, self._answers, self._failures, self._under_way):
            kept.pop(group, None)

    def _state_of(self, chat: Chat, generation: int, epoch: int) -> PublicState | None:
        """The public state of an epoch; asked for if it is not here. Raises why it can't be had."""
        wanted = ReadGroup(chat.id, generation, epoch)
        found = self._answers.get(chat.id)
        if found is not None and (found.generation, found.epoch) == (generation, epoch):
            return found
        if self._asked.get(chat.id) != wanted:
            failure = self._failures.pop(chat.id, None)
            if failure is not None and failure.code is not Code.NETWORK_CLOSED:
                raise failure
            self._asked[chat.id] = wanted
        return None

    # --- By a Welcome --------------------------------------------------------------------

    def is_welcome(self, chat: Chat, entry: Entry) -> bool:
        """Whether an entry welcomes this device into a group that it has left.

        By a key package that is still here; or into an epoch above all that it knew. By that one it
        can't come in, and asks members: a server that was restored gives out what is used up. If it
        keeps back what is for this device, the entry still says that the account is let in.
        """
        if entry.envelope.suite != SuiteId.MLS_COMMIT:
            return False
        try:
            if entry.part is not None:
                secrets = decode(entry.part, EncryptedGroupSecrets.read)
                if self._key_packages.find(secrets.new_member) is not None:
                    return True
            elif not brings_in(entry, self._memory.account_id):
                return False
            body = decode_body(entry.envelope.body, CommitBody)
            commit = self._groups.decode(body.commit)
        except ParlourError:
            return False
        if not isinstance(commit, PublicMessage):
            return False
        return (body.generation, commit.content.epoch + 1) > chat.record.highest

    def offer(self, chat: Chat, entry: Entry, body: CommitBody, now: int) -> bool:
        """Join by the commit of an entry, if it is for us; False if something is to come first.

        Raises `Wanting`.
        """
        if entry.part is None:
            if body.welcome:
                chat.welcomed_at = now
            return True
        try:
            secrets = decode(entry.part, EncryptedGroupSecrets.read)
            message = self._groups.decode(body.commit)
            if not isinstance(message, PublicMessage):
                raise refused("with no public commit")
            bundle = self._key_packages.find(secrets.new_member)
            if bundle is None:
                raise refused("for a key package that is not here")
            self._check_ours(chat, secrets.new_member)
            state = self._state_of(chat, body.generation, message.content.epoch + 1)
            if state is None:
                return False
            self._join(chat, entry, body, message, bundle, state, now)
        except ParlourError as problem:
            self._memory.count("welcome.refused")
            chat.welcome_problem = problem
            self._belongs_from(chat, entry, body)
            self._asked.pop(chat.id, None)
            return True
        return True

    def package_for_wish(self, chat: Chat, at: int, now: int) -> KeyPackageBundle:
        """The key package of our wish of that time to be added to a group again.

        Each wish has one of its own, so that one that was fulfilled spoils no other.
        """
        given = {
            reference: then
            for reference, then in chat.record.wish_packages.items()
            if self._key_packages.find(reference) is not None
        }
        for reference, then in given.items():
            known = self._key_packages.find(reference)
            if then == at and known is not None:
                return known
        bundle = self._key_packages.for_wish(chat.genesis.suite, now // 1000)
        given[bundle.reference] = at
        chat.record.wish_packages = dict(list(given.items())[-MAX_WISH_PACKAGES:])
        self._groups.put(chat)
        return bundle

    def _check_ours(self, chat: Chat, reference: bytes) -> None:
        """Refuse a key package that we gave to members of another group, to come back there.

        One of them could use it up elsewhere, and silence us there by our wish.
        """
        others = (each for each in self._groups.chats.values() if each is not chat)
        if any(reference in each.record.wish_packages for each in others):
            raise refused("for a key package that is for another group")

    def _belongs_from(self, chat: Chat, entry: Entry, body: CommitBody) -> None:
        """What is said from here on is for us, though we can't read it before we are in."""
        record = chat.record
        if record.joined_seq or record.joined_epoch != NOWHERE:
            return
        with contextlib.suppress(ParlourError):
            message = self._groups.decode(body.commit)
            if isinstance(message, PublicMessage):
                record.joined_epoch = (body.generation, message.content.epoch + 1)
                record.is_newcomer = brings_in(entry, self._memory.account_id)
                self._groups.put(chat)

    def _join(
        self,
        chat: Chat,
        entry: Entry,
        body: CommitBody,
        commit: PublicMessage,
        bundle: KeyPackageBundle,
        state: PublicState,
        now: int,
    ) -> None:
        door = self._entering.door(chat, state)
        welcome = join_welcome_parts(chat.genesis.suite, body.welcome, entry.part or b"")
        shared = None if chat.shared is None else chat.shared.stages
        join = WelcomeJoin(self._groups.policy, ratchet_tree=door.tree, shared=shared)
        group, used = Group.join(welcome, [bundle], now // 1000, join)
        context = group.member.public.group_context
        self._entering.check_context(chat, door, context, from_outside=False)
        leaf = group.member.public.tree.leaf(_member_of(commit))
        if leaf is None or owner_of(leaf).device_id != entry.sender_device:
            raise refused("by another device than the server says")
        self._key_packages.used(used.reference, now)
        chat.record.generation = door.generation
        self._enter(chat, group, door.roster, entry, now, inviter=entry.sender_account)
        self._renewing.came(chat, now)
        self.done(chat.id)

    def _enter(
        self, chat: Chat, group: Group, roster: Roster, entry: Entry, now: int, *, inviter: bytes
    ) -> None:
        """We are a member from now on."""
        record = chat.record
        fresh = not record.joined_seq
        if chat.roster is not None:
            for event in difference_events(chat.id, chat.roster.state, roster.state):
                self._memory.tell(chat, event)
        chat.group = group
        chat.roster = roster
        chat.since = {
            account: chat.since.get(account, 0 if fresh else entry.seq)
            for account in roster.state.members
        }
        own = self._memory.account_id
        if fresh:
            chat.since[own] = entry.seq
            record.inviter = inviter
            if record.acceptance is not Acceptance.DECLINED:
                record.acceptance = self._acceptance(chat, entry)
            if record.joined_epoch == NOWHERE:
                record.joined_epoch = (record.generation, group.epoch)
                record.is_newcomer = brings_in(entry, own)
            chat.recent = []
        record.joined_seq = record.followed_seq = entry.seq
        record.joined_at = stored_at(entry, now)
        record.followed_at = max(record.followed_at, stored_at(entry, now))
        record.state = GroupState.ACTIVE
        record.pending = record.trouble = None
        record.begun_by = b""
        self._renewing.renewed(chat, now)
        record.link_text = ""
        chat.losses = 0
        chat.note_epoch()
        self._groups.put_epoch(chat)
        self._groups.put_roster(chat)
        if fresh and record.acceptance is not Acceptance.DECLINED:
            self._memory.tell(
                chat,
                GroupJoined(
                    chat.id,
                    record.name,
                    record.inviter,
                    invited=record.acceptance is Acceptance.INVITED,
                    confirmed=not record.unconfirmed,
                ),
            )

    def _acceptance(self, chat: Chat, entry: Entry) -> Acceptance:
        """Whether being here needs the person's yes: not among friends, nor by one's own doing.

        Nor where they have said yes, and only the server has told us since that it was over.
        A further device of somebody who is here follows what was decided on another one, once it
        has heard of that: somebody may bring in the devices of an account one by one, or one of
        them that was asked and has not been answered brings in the next. Whom the
        person has blocked gets a no without asking them.
        """
        own = self._memory.account_id
        if chat.is_direct:
            # Whether it is heard is decided about the account (`standing`).
            return Acceptance.ACCEPTED
        contact = self._memory.contacts.get(entry.sender_account)
        accepted = contact is not None and contact.standing is Standing.ACCEPTED
        record = chat.record
        decided = record.acceptance is Acceptance.ACCEPTED and record.decided_at > 0
        if (
            accepted
            or decided
            or chat.genesis.creator_account == own
            or record.link
            or chat.id in self._memory.syncs
        ):
            return Acceptance.ACCEPTED
        blocked = contact is not None and contact.standing is Standing.BLOCKED
        return Acceptance.DECLINED if blocked and brings_in(entry, own) else Acceptance.INVITED

    # --- By a commit of our own ----------------------------------------------------------

    def commit(
        self, chat: Chat, state: PublicState, now: int, entry: RosterEntry | None = None
    ) -> None:
        """Make the commit that brings us in, in place of a former leaf of this device if any.

        `entry` is the roster's for who comes by a link. Raises `Wanting`.
        """
        door = self._entering.door(chat, state, by_link=entry is not None)
        former = door.leaf_of(self._memory.device_id)
        if former is None and entry is None:
            # Whoever has no leaf is brought in by others: by itself, a device only comes back.
            raise refused("there is no leaf to come back to")
        self._entering.check_signed_by_known(chat, door.roster)
        roster = door.roster
        if entry is not None:
            roster = roster.extend(entry, self._lists.find_key)
        identity = self._key_packages.identity(chat.genesis.suite, now // 1000)
        join = ExternalJoin(
            self._groups.policy,
            resync=former,
            ratchet_tree=state.tree,
            authenticated_data=RosterEntry.brought([] if entry is None else [entry]),
            group_info=True,
        )
        context = context_of(state.group_info)
        pending = Group.join_external(
            state.group_info, identity, now // 1000, join, random=self._memory.random
        )
        self._entering.check_context(chat, door, context, from_outside=True)
        body = CommitBody(
            state.generation,
            pending.commit,
            [] if entry is None else [entry.encode()],
            b"",
        )
        client_id = self._memory.random(ID_SIZE)
        handshake = Handshake(
            stream=chat.id,
            client_id=client_id,
            generation=state.generation,
            epoch=state.epoch,
            envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_COMMIT, b"", encode_body(body)),
            parts=[],
            group_info=pending.group_info or b"",
        )
        chat.record.pending = Pending(
            Sent.JOIN, client_id, encode_request(handshake), state.generation, state.epoch
        )
        self._under_way[chat.id] = pending
        chat.joining_roster = roster
        self._groups.put(chat)

    def roster_of(self, chat: Chat, state: PublicState) -> Roster:
        """The roster that a server shows, which may lead another way than ours. Raises `Wanting`.

        It belongs to the group, and is signed as far as we know who signed it.
        """
        return self._entering.roster_of(chat, state)

    def forsaken(self, chat: Chat, state: PublicState, now: int) -> Roster | None:
        """The roster of a conversation of a fixed kind in which nobody is who could let us in.

        Where two talk, that is if all leaves are of devices that are off their lists, or idle.
        Among our own devices it is not waited for one that is listed, and perhaps lost. No member
        vouches for the roster: it has to name nobody else, and to be signed by a device that we
        know (which is verified where it is known). Raises `Wanting`.
        """
        if chat.genesis.kind not in FIXED_KINDS:
            return None
        door = self._entering.door(chat, state)
        if door.leaf_of(self._memory.device_id) is not None:
            return None
        roster, head = door.roster, door.roster.head
        owners = [owner_of(leaf) for _, leaf in door.tree.members()]
        there = [each for each in owners if self._lists.is_listed(each, roster.state)]
        idle = all(each.expires_at <= now // 1000 for each in there)
        if not idle and chat.genesis.kind is not GroupKind.SELF:
            return None
        members = {self._memory.account_id, chat.record.peer}
        signed = self._lists.find_key(head.signer_account, head.signer_device) is not None
        if not signed or {head.signer_account, *roster.state.members} != members:
            raise refused("a roster that nobody whom we know has signed")
        return roster

    def commit_by_link(self, chat: Chat, state: PublicState, link: JoinLink, now: int) -> None:
        """Come in by a link: with the roster's entry that says so. Raises `Wanting`."""
        door = self._entering.door(chat, state, by_link=True)
        roster, own, device = door.roster, self._memory.account_id, self._memory.device_id
        if own in roster.state.members:
            if door.leaf_of(device) is None:
                # Our account is in already: members bring in its other devices.
                self._memory.linked.pop(chat.id, None)
                chat.record.link_text = ""
                self._groups.put(chat)
                self.done(chat.id)
                return
            self.commit(chat, state, now)
            return
        key = self._lists.account_key(own)
        change = link.sign_join(roster.state.roster_id, own, device, key)
        entry = roster.next_entry(
            [change], own, device, self._memory.local.signature_key, now, self._lists.find_key
        )
        self.commit(chat, state, now, entry)

    def is_under_way(self, chat: Chat) -> bool:
        """Whether a commit of ours by which we join waits for its answer."""
        pending = chat.record.pending
        return pending is not None and pending.what is Sent.JOIN and chat.id in self._under_way

    def confirm(self, chat: Chat, entry: Entry, body: CommitBody, now: int) -> bool:
        """Whether an entry is the commit by which we join: then we are in."""
        pending, under_way = chat.record.pending, self._under_way.get(chat.id)
        if pending is None or under_way is None or chat.joining_roster is None:
            return False
        named = (entry.client_id, entry.sender_device) == (
            pending.client_id,
            self._memory.device_id,
        )
        # Whatever the server says of its sender and its id, nobody else has made it.
        if not equal(body.commit, under_way.commit):
            if named:
                # What stands in its place will not come again: come in once more.
                self._memory.count("commit.changed")
                self.lost(chat)
            return False
        group = under_way.confirm(body.commit)
        chat.record.generation = pending.generation
        chat.record.unconfirmed = True
        # Without a link, somebody has added us, and only the server has said who.
        inviter = self._memory.account_id if chat.record.link else b""
        self._enter(chat, group, chat.joining_roster, entry, now, inviter=inviter)
        chat.joining_roster = None
        self.done(chat.id)
        return True

    def lost(self, chat: Chat) -> None:
        """Another commit won: begin again with a newer state."""
        self._under_way.pop(chat.id, None)
        self._answers.pop(chat.id, None)
        chat.record.pending = None
        self._groups.put(chat)


def brings_in(entry: Entry, account_id: bytes) -> bool:
    """Whether the roster entries of a commit add the account, not only a device of it."""
    body = decode_body(entry.envelope.body, CommitBody)
    changes = [change for data in body.roster for change in RosterEntry.decode(data).changes]
    return any(isinstance(c, Added | JoinedByLink) and c.account == account_id for c in changes)


def _member_of(commit: PublicMessage) -> LeafIndex:
    """The leaf that committed; raises for a commit from outside, which welcomes nobody."""
    sender = commit.content.sender.leaf_index
    if sender is None:
        raise refused("a Welcome of a newcomer")
    return sender
