"""What has to hold before we enter a group by what a server shows of it.

A Welcome and a commit of our own both rest on a tree, a roster and a GroupInfo that a server gives.
All of it could be invented, or be of a day when somebody was still a member. So it must belong
together, and must not lie behind anything that this device has followed: no lower epoch, no older
entry of the roster, no other entry of the same number. The highest that was followed is kept also
where the keys of the group are lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parlour.conversation.groups.authorising import binding_of
from parlour.conversation.groups.chat import Chat, mls_group_id
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.lists import Lists
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, SecurityStop, error
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.suites import find_suite
from parlour.mls.public.tree.extension import read_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex
from parlour.roster.changes import JoinedByLink
from parlour.roster.roster import Roster
from parlour.wire.groups import GroupState as PublicState


def refused(why: str) -> ParlourError:
    """The error for what we do not enter by."""
    return error(Code.GROUP_WELCOME_REFUSED, why)


@dataclass(frozen=True, slots=True)
class Door:
    """What a server shows of a group, as far as it holds together."""

    roster: Roster
    tree: RatchetTree
    generation: int

    def leaf_of(self, device_id: bytes) -> LeafIndex | None:
        """The leaf of a device in that tree."""
        for index, leaf in self.tree.members():
            if owner_of(leaf).device_id == device_id:
                return index
        return None


class Entering:
    """Checks what we are about to enter by."""

    def __init__(self, memory: Memory, lists: Lists) -> None:
        self._memory = memory
        self._lists = lists

    def door(self, chat: Chat, state: PublicState, *, by_link: bool = False) -> Door:
        """Check roster and tree of a public state; raises `Wanting` for lists that it takes."""
        roster = self.roster_of(chat, state)
        check_not_older(chat, roster)
        check_nobody_is_back(chat, roster)
        own = self._memory.account_id
        if own not in roster.state.members and not by_link:
            raise refused("we are not on the roster")
        self._lists.all_known(list(roster.state.members))
        read = read_tree if chat.shared is None else chat.shared.read_tree
        tree = read(find_suite(chat.genesis.suite), state.tree)
        leaves = [leaf for _, leaf in tree.members()]
        self._lists.find_leaf_keys(leaves)
        self._check_leaves(roster, leaves)
        return Door(roster, tree, state.generation)

    def roster_of(self, chat: Chat, state: PublicState) -> Roster:
        """The roster of a public state, as far as it holds by itself. Raises `Wanting`."""
        genesis, record = chat.genesis, chat.record
        if state.genesis != record.genesis:
            raise SecurityStop(Code.CONVERSATION_GENESIS, "another genesis than before")
        key = self._lists.find_key(genesis.creator_account, genesis.creator_device)
        if key is None:
            # Of an account that has another key by now. Those in the group have checked it, and the
            # epoch that they sign is bound to it.
            genesis.check()
        else:
            genesis.verify(key)
        of_state = Roster.of_state if chat.shared is None else chat.shared.of_state
        return of_state(genesis, state.roster_state, state.roster_head, self._lists.find_key)

    def check_signed_by_known(self, chat: Chat, roster: Roster) -> None:
        """The newest entry is one that we had, or is signed by somebody who was there when we were.

        Without that, a server could put an account of its own on a roster, and have us come in
        under it alone.
        """
        head, known = roster.head, chat.roster
        if known is None or roster.number == known.number:
            return
        key = self._lists.find_key(head.signer_account, head.signer_device)
        if head.signer_account not in known.state.members or key is None:
            raise refused("a roster that nobody whom we know has signed")
        head.verify_signature(key)

    def _check_leaves(self, roster: Roster, leaves: Iterable[LeafNode]) -> None:
        for leaf in leaves:
            owner = owner_of(leaf)
            if owner.account_id not in roster.state.members:
                raise refused("a leaf that is not on the roster")
            if not self._lists.is_admitted(owner, roster.state):
                raise refused("a leaf under another account key than the roster's")

    def check_context(
        self, chat: Chat, door: Door, context: GroupContext, *, from_outside: bool
    ) -> None:
        """The epoch that we enter is of this group, above what we know, and bound to the roster.

        `context` has been verified by MLS. Coming from outside, the roster may be one entry further
        than the epoch: that of somebody who came by a link (RFC 9420 §12.2).
        """
        ours = mls_group_id(chat.id, door.generation), chat.genesis.suite
        if (context.group_id, context.cipher_suite) != ours:
            raise refused("another MLS group")
        if (door.generation, context.epoch) < chat.record.highest:
            raise SecurityStop(Code.GROUP_ROLLBACK, "an epoch below the highest known")
        binding, roster = binding_of(context.extensions), door.roster
        if binding == roster.binding:
            return
        head = roster.head
        joined = all(isinstance(change, JoinedByLink) for change in head.changes)
        behind = binding.number + 1 == roster.number and binding.head == head.previous
        if not (from_outside and joined and behind and head.number):
            raise refused("an epoch that is bound to another roster")


def check_not_older(chat: Chat, roster: Roster) -> None:
    """Refuse a roster that lies behind what was followed, or beside it."""
    record = chat.record
    if roster.number < record.roster_number:
        raise SecurityStop(Code.ROSTER_ROLLBACK, "an entry before the newest known")
    same = roster.number == record.roster_number
    if same and record.roster_head and roster.head_hash != record.roster_head:
        raise SecurityStop(Code.ROSTER_ROLLBACK, "another entry than the one that is known")


def check_nobody_is_back(chat: Chat, roster: Roster) -> None:
    """Where we go over to another branch (`branches`): whom we know to be out is not in it.

    The admin who began it may not have heard of that.
    """
    known = chat.roster
    if known is None or known.head_hash == chat.record.roster_head:
        return
    strangers = roster.state.members.keys() - known.state.members.keys()
    if not strangers.isdisjoint(chat.record.former):
        raise SecurityStop(Code.ROSTER_ROLLBACK, "somebody is back who was put out")


def context_of(group_info: bytes) -> GroupContext:
    """The context in a GroupInfo, which nobody has verified yet."""
    message = decode_message(group_info)
    if not isinstance(message, GroupInfoMessage):
        raise refused("no GroupInfo")
    return message.group_info.group_context
