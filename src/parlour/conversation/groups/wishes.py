"""What people want of groups: to found them, to change who is in them, to speak, to go.

Each wish is checked as far as it can be now, and kept; that it comes true is the work of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from parlour.conversation import content as contents
from parlour.conversation.changes import DeleteMessages, ReleaseMessages
from parlour.conversation.content import (
    Content,
    Shown,
)
from parlour.conversation.decided import following
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.founding import Founding, check_name
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import (
    Acceptance,
    Want,
)
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.policies import Policy, max_leaves
from parlour.conversation.records import Conversation
from parlour.conversation.sending import Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import GroupSync
from parlour.conversation.syncing import MAX_PENDING, Syncing
from parlour.errors import (
    Code,
    NotFoundError,
    error,
)
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.links import JoinLink
from parlour.roster.naming import NAME_SALT_SIZE
from parlour.roster.roles import Right, Role


class Wishes:
    """Takes what people want."""

    def __init__(
        self,
        memory: Memory,
        sending: Sending,
        syncing: Syncing,
        renewing: Renewing,
        founding: Founding,
        following: Following,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._sending = sending
        self._syncing = syncing
        self._renewing = renewing
        self._founding = founding
        self._following = following
        syncing.on_group = self._decided_elsewhere
        syncing.groups = self._decisions

    def create(
        self,
        kind: GroupKind,
        name: str,
        members: Sequence[bytes],
        now: int,
        *,
        suite: int | None,
        policy: Policy,
    ) -> bytes:
        """Found a group; see `Machine.create_group`."""
        check_name(name)
        for account in members:
            self._check_contact(account)
        everybody = sorted({self._memory.account_id, *members})
        if len(everybody) > policy.max_members:
            raise error(Code.GROUP_FULL, f"at most {policy.max_members:,} people")
        if suite is None:
            chosen = self._founding.choose_suite(everybody, policy)
        else:
            chosen = suite
            self._check_devices(chosen, self._devices_of(everybody))
        chat = self._founding.begin(kind, name, everybody, chosen, now, policy)
        self._memory.put_conversation(
            Conversation(peer=chat.id, stream=chat.id, genesis=chat.record.genesis)
        )
        return chat.id

    def _check_contact(self, account: bytes) -> None:
        contact = self._memory.contacts.get(account)
        if contact is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        if contact.standing is Standing.BLOCKED:
            raise error(Code.CONTACT_BLOCKED, contact.name)
        if contact.stopped:
            raise error(Code.ACCOUNT_KEY_CHANGED, contact.name)

    def add(self, group: bytes, accounts: Sequence[bytes], role: Role, now: int) -> None:
        """Bring accounts in."""
        chat = self._may(group, Right.ADD)
        for account in accounts:
            self._check_contact(account)
        self._check_room(chat, set(accounts))
        self._founding.want(chat, Want.ADD, now, accounts=list(accounts), role=int(role))

    def _check_room(self, chat: Chat, accounts: set[bytes]) -> None:
        """Refuse more people, or more devices, than a group of its kind and suite may have."""
        for intent in self._groups.intents_of(chat.id):
            if intent.want is Want.ADD:
                # They are on their way, and have their place.
                accounts = accounts.union(intent.accounts)
        new = accounts.difference(chat.accounts)
        people = self._renewing.policy(chat).max_members
        if len(chat.accounts) + len(new) > people:
            raise error(Code.GROUP_FULL, f"at most {people:,} people")
        self._check_devices(chat.genesis.suite, len(chat.owners) + self._devices_of(new))

    def _devices_of(self, accounts: Iterable[bytes]) -> int:
        """How many devices they have, as far as their lists are known."""
        known = (self._memory.contacts.get(account) for account in accounts)
        return sum(len(contact.head.devices) for contact in known if contact is not None)

    @staticmethod
    def _check_devices(suite: int, devices: int) -> None:
        """Refuse more devices than a tree of that suite has room for, before a key is fetched."""
        most = max_leaves(suite)
        if devices > most:
            raise error(Code.GROUP_FULL, f"{devices:,} devices, at most {most:,}")

    def remove(self, group: bytes, accounts: Sequence[bytes], now: int) -> None:
        """Put accounts out."""
        chat = self._may(group, Right.REMOVE)
        state, own = chat.known_roster().state, self._memory.account_id
        for account in accounts:
            if account == own:
                raise error(Code.USAGE_INVALID, "to go yourself, leave the group")
            if account not in state.members:
                raise error(Code.GROUP_NO_MEMBER)
            if not state.may_remove(own, account):
                raise error(Code.ROSTER_FORBIDDEN)
        self._founding.want(chat, Want.REMOVE, now, accounts=list(accounts))

    def set_role(self, group: bytes, account: bytes, role: Role, now: int) -> None:
        """Give an account another role."""
        chat = self._may(group, Right.SET_ROLE)
        state = chat.known_roster().state
        if account not in state.members:
            raise error(Code.GROUP_NO_MEMBER)
        if not state.may_set_role(self._memory.account_id, account, role):
            raise error(Code.ROSTER_FORBIDDEN)
        self._founding.want(chat, Want.ROLE, now, accounts=[account], role=int(role))

    def rename(self, group: bytes, name: str, now: int) -> None:
        """Give a group another name."""
        check_name(name)
        chat = self._may(group, Right.RENAME)
        salt = self._memory.random(NAME_SALT_SIZE)
        self._founding.want(chat, Want.RENAME, now, name=name, salt=salt)

    def refresh(self, group: bytes, now: int) -> None:
        """Renew our own keys in a group now, the one that signs among them.

        Nobody does that without a suspicion: with time, it happens by itself.
        """
        chat = self._joined(group)
        self._founding.distrust_leaf_key()
        self._founding.want(chat, Want.UPDATE, now)

    def leave(self, group: bytes, now: int) -> None:
        """Go. Somebody who stays has to enter it; nothing is said from now on."""
        chat = self.known(group)
        record = chat.record
        if chat.is_left:
            return
        if chat.genesis.kind in (GroupKind.DIRECT, GroupKind.SELF):
            raise error(Code.USAGE_INVALID, "a conversation of a fixed kind can't be left")
        # What the server may have is known once it comes back, or when we are out.
        self._memory.drop_unsealed(group, Code.GROUP_OVER)
        record.acceptance = Acceptance.DECLINED
        record.decided_at = following(now, record.decided_at)
        self._groups.put(chat)
        if not self._go(chat, now):
            self._founding.want(chat, Want.LEAVE, now)

    def _go(self, chat: Chat, now: int) -> bool:
        """Leave a group in which nobody else is: nobody enters it, so our devices are told.

        Not while something is under way: others may come in by it, who then enter that we go.
        """
        if not chat.is_alone or chat.record.pending is not None:
            return False
        self._syncing.tell(_decision(chat), now)
        self._following.leave(chat, self._memory.account_id)
        return True

    def go_on(self, chat: Chat, now: int) -> None:
        """Go where we are alone by now."""
        if chat.record.acceptance is Acceptance.DECLINED and chat.is_active:
            self._go(chat, now)

    def accept(self, group: bytes, now: int) -> None:
        """Say yes to being in a group, and show what was said there."""
        chat = self.known(group)
        if chat.record.acceptance is Acceptance.INVITED:
            chat.record.decided_at = following(now, chat.record.decided_at)
            self._accepted(chat)
            self._syncing.tell(_decision(chat), now)

    def _accepted(self, chat: Chat) -> None:
        chat.record.acceptance = Acceptance.ACCEPTED
        self._groups.put(chat)
        self._release(chat)

    def _release(self, chat: Chat) -> None:
        """Show what came before there was a yes."""
        conversation = self._memory.conversations[chat.conversation]
        if conversation.requested:
            self._memory.changes.append(ReleaseMessages(chat.conversation))
        conversation.requested = conversation.unkept = 0
        self._memory.put_conversation(conversation)

    def _decisions(self) -> Iterator[GroupSync]:
        """What our other devices should know of groups."""
        for chat in self._groups.chats.values():
            decided = chat.record.acceptance is Acceptance.ACCEPTED and not chat.is_direct
            if decided and not chat.is_left:
                yield _decision(chat)

    def _decided_elsewhere(self, sync: GroupSync, now: int) -> None:
        """Another device of ours says whether the person wants to be in a group."""
        chat = self._groups.chats.get(sync.group)
        if chat is not None and chat.is_direct:
            # Nobody decides on those.
            return
        if not sync.accepted:
            if chat is not None and sync.at >= chat.record.decided_at:
                self._left_elsewhere(chat, sync.at, now)
            return
        again = chat is not None and chat.is_left and sync.at > chat.record.decided_at
        if chat is None or again or not chat.record.joined_seq:
            # It was quicker than the group, or than our coming back to it.
            if len(self._memory.syncs) < MAX_PENDING:
                self._memory.put_sync(sync.group, contents.encode(sync))
            return
        if sync.at < chat.record.decided_at:
            return
        chat.record.decided_at = sync.at
        if chat.record.acceptance is Acceptance.INVITED:
            self._accepted(chat)

    def _left_elsewhere(self, chat: Chat, at: int, now: int) -> None:
        """Another device of ours was alone in a group, and left it.

        Where somebody has come meanwhile, they enter that the account goes: this one asks for it.
        Who is not in yet is brought in if there is anybody.
        """
        if chat.id in self._memory.syncs:
            # A yes from before that.
            self._memory.delete_sync(chat.id)
        if chat.is_left:
            return
        if chat.is_alone or not chat.record.joined_seq:
            chat.record.acceptance = Acceptance.DECLINED
            chat.record.decided_at = at
            self._following.leave(chat, self._memory.account_id)
        elif chat.record.acceptance is not Acceptance.DECLINED:
            self.leave(chat.id, now)

    def tell_gone(self, chat: Chat, now: int) -> None:
        """Tell our other devices of a no, if we have gone by it: one waits to be let in, in vain.

        It was linked after that perhaps, and if we were the last ones, nobody has entered it.
        """
        if chat.is_left and chat.record.acceptance is Acceptance.DECLINED:
            self._syncing.tell(_decision(chat), now)

    def came(self, chat: Chat, now: int) -> None:
        """We are in for the first time: our other devices hear of a yes, members of a no."""
        if chat.id in self._memory.syncs:
            self._memory.delete_sync(chat.id)
        wants = [intent.want for intent in self._groups.intents_of(chat.id)]
        if chat.record.acceptance is Acceptance.DECLINED and Want.LEAVE not in wants:
            self.leave(chat.id, now)
            return
        if chat.record.acceptance is Acceptance.ACCEPTED and not chat.is_direct:
            # What we came back for may have come before us.
            self._release(chat)
        self.tell_decision(chat, now)

    def tell_decision(self, chat: Chat, now: int) -> None:
        """Tell our other devices, one of which has come perhaps, of a yes."""
        if chat.record.acceptance is Acceptance.ACCEPTED and not chat.is_direct:
            self._syncing.tell(_decision(chat), now)

    def decline(self, group: bytes, now: int) -> None:
        """Say no to it: what was said is deleted, and we go."""
        chat = self.known(group)
        if chat.record.acceptance is Acceptance.INVITED:
            self._memory.changes.append(DeleteMessages(group))
        self.leave(group, now)

    def open_link(
        self, link: JoinLink, now: int, *, role: Role, uses: int, expires_at: int
    ) -> None:
        """Let whoever holds `link` come into its group, in that role, so many times."""
        chat = self._may(link.stream, Right.LINK)
        opened = link.opened(role=role, uses=uses, expires_at=expires_at)
        self._founding.want(
            chat,
            Want.OPEN_LINK,
            now,
            link_id=opened.link_id,
            public_key=opened.public_key,
            role=int(role),
            uses=uses,
            expires_at=expires_at,
        )

    def close_link(self, group: bytes, link_id: bytes, now: int) -> None:
        """Make a link void."""
        chat = self._may(group, Right.LINK)
        self._founding.want(chat, Want.CLOSE_LINK, now, link_id=link_id)

    def check_send(self, group: bytes, content: Content) -> None:
        """Raise what stands in the way of saying `content`."""
        chat = self.known(group)
        if chat.is_direct:
            raise error(Code.GROUP_UNKNOWN)
        if chat.is_left or chat.record.acceptance is Acceptance.DECLINED:
            raise error(Code.GROUP_OVER, chat.record.name)
        if not isinstance(content, Shown):
            raise error(Code.USAGE_INVALID, "only what is shown")
        contents.encode(content)

    def send(self, group: bytes, content: Content, now: int) -> bytes:
        """Say something in a group, which is a yes to being in it."""
        self.check_send(group, content)
        self.accept(group, now)
        outgoing = self._sending.queue(group, contents.encode(content), now)
        self._sending.show(outgoing)
        return outgoing.message_id

    def known(self, group: bytes) -> Chat:
        """The group of that id, or raise `GROUP_UNKNOWN`."""
        chat = self._groups.chats.get(group)
        if chat is None:
            raise error(Code.GROUP_UNKNOWN)
        return chat

    def _joined(self, group: bytes) -> Chat:
        chat = self.known(group)
        if chat.is_left:
            raise error(Code.GROUP_OVER, chat.record.name)
        if chat.roster is None:
            raise error(Code.GROUP_NOT_MEMBER)
        return chat

    def _may(self, group: bytes, right: Right) -> Chat:
        chat = self._joined(group)
        if not chat.known_roster().state.may(self._memory.account_id, right):
            raise error(Code.ROSTER_FORBIDDEN, right.value)
        return chat


def _decision(chat: Chat) -> GroupSync:
    record = chat.record
    accepted = record.acceptance is Acceptance.ACCEPTED
    return GroupSync(chat.id, accepted, record.decided_at, record.name, record.salt)
