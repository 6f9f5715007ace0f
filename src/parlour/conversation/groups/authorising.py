"""What a commit may do: MLS says whether it is well made, the roster whether it is allowed.

Everybody decides alike from what the commit and the lists say. The server refuses the same before
a commit wins an epoch (`server/groups`); a client checks it again, because it trusts no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import LeafOwner, owner_of
from parlour.conversation.groups.lists import Lists
from parlour.errors import Code, SecurityStop
from parlour.mls.public.changes import Changes
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.framing.messages import PublicMessage
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.staging import StagedPublic
from parlour.mls.public.types import SenderType
from parlour.primitives.hashes import equal
from parlour.roster.changes import JoinedByLink
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE, RosterBinding
from parlour.roster.readding import ReaddWish
from parlour.roster.roster import Roster
from parlour.wire.streams import Entry

# How far (ms) the clocks of the server, of members and of newcomers may be apart where an idle
# device is put out or a link has ended: more than they are, and little beside the weeks and days
# that are measured by it.
CLOCKS: Final = 24 * 3_600_000


def _refuse(why: str) -> SecurityStop:
    return SecurityStop(Code.GROUP_COMMIT_REFUSED, why)


def stored_at(entry: Entry, now: int) -> int:
    """When the server says that it has stored an entry (ms), as far as our clock lets that pass."""
    return min(entry.stored_at, now + CLOCKS)


def binding_of(extensions: Extensions) -> RosterBinding:
    """Which roster entry an epoch is bound to."""
    data = extensions.find(EXTENSION_TYPE)
    if data is None:
        raise _refuse("an epoch without a roster")
    return RosterBinding.decode(data)


def check_binding(roster: Roster, extensions: Extensions) -> None:
    """The epoch has to name exactly this roster."""
    if binding_of(extensions) != roster.binding:
        raise _refuse("another roster than the epoch names")


def check_entries(message: PublicMessage, entries: Sequence[bytes]) -> None:
    """A commit from outside comes with the roster entries that its maker sent, and no others.

    By a link, somebody comes in such a commit only: in that of a member, nobody would look whether
    the link has ended, and the newcomer might sign for a time before that.
    """
    content, decoded = message.content, [RosterEntry.decode(data) for data in entries]
    if content.sender.sender_type is not SenderType.NEW_MEMBER_COMMIT:
        # What a member commits binds the epoch to the newest of them.
        changes = (change for entry in decoded for change in entry.changes)
        if any(isinstance(change, JoinedByLink) for change in changes):
            raise _refuse("somebody came by a link in the commit of another")
        return
    if not equal(content.authenticated_data, RosterEntry.brought(decoded)):
        raise _refuse("other roster entries than the newcomer sent")


def check_wish(chat: Chat, wish: ReaddWish, now: int, lists: Lists) -> None:
    """Whether a device may be taken out and in again by its wish now (ms); raises `Wanting`."""
    place = (chat.record.generation, chat.epoch)
    last = chat.record.wishes.get(wish.device, 0)
    key = lists.find_key(wish.account, wish.device)
    wish.check(chat.id, place, now, last, key)


class Authorising:
    """Decides about commits of others."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists

    def extended(self, chat: Chat, entries: Sequence[bytes]) -> Roster:
        """The roster after the entries of a commit, each verified; raises `Wanting`.

        What we have already is passed over: with a restart may come what a server had lost.
        """
        roster = chat.known_roster()
        for data in entries:
            entry = RosterEntry.decode(data)
            if entry.number <= chat.known_roster().number:
                if entry.number == chat.known_roster().number and entry.hash() != roster.head_hash:
                    raise _refuse("another roster than ours")
                continue
            if chat.shared is None:
                roster = roster.extend(entry, self._lists.find_key)
            else:
                roster = chat.shared.extend(roster, data, self._lists.find_key)
        return roster

    def check(
        self,
        chat: Chat,
        staged: StagedPublic,
        roster: Roster,
        entry: Entry,
        wishes: Sequence[bytes] = (),
    ) -> None:
        """Allow a staged commit, or raise `SecurityStop` (or `Wanting`).

        `roster` is the roster after it; `wishes` came with it, of devices that it adds again.
        """
        changes, committer = staged.changes, self._committer(staged, entry)
        if changes.committer is None:
            # Such a commit can't change the extensions (RFC 9420 §12.2): the next one binds it.
            self._check_place(chat, changes, roster, committer, entry.stored_at)
        else:
            check_binding(roster, changes.extensions)
        self._check_extensions(chat, changes)
        added = [self._check_leaf(package.leaf_node, roster) for _, package in changes.added]
        for leaf in changes.new_leaves[len(changes.added) :]:
            self._check_leaf(leaf, roster)
        self._check_leaf(staged.committer_leaf, roster)
        _check_one_each(chat, changes, added)
        again = self._fulfilled(chat, changes, added, wishes, entry)
        gone = chat.known_roster().state.differing(roster.state) if changes.removed else set()
        for index in changes.removed:
            owner = chat.owners[index]
            excused = owner.account_id in gone or owner.device_id in again
            if not excused:
                self._check_removal(owner, roster, committer, entry.stored_at // 1000)
        self._check_gone(chat, roster, changes)

    def _committer(self, staged: StagedPublic, entry: Entry) -> LeafOwner:
        committer = owner_of(staged.committer_leaf)
        if (committer.account_id, committer.device_id) != (
            entry.sender_account,
            entry.sender_device,
        ):
            raise _refuse("committed by another device than the server says")
        return committer

    def _check_extensions(self, chat: Chat, changes: Changes) -> None:
        """Nothing of the context changes but the roster's place."""
        before = {e.extension_type: e.extension_data for e in chat.live().extensions.items}
        after = {e.extension_type: e.extension_data for e in changes.extensions.items}
        before.pop(EXTENSION_TYPE, None)
        after.pop(EXTENSION_TYPE, None)
        if before != after:
            raise _refuse("other extensions of the group")

    def _check_place(
        self, chat: Chat, changes: Changes, roster: Roster, committer: LeafOwner, at: int
    ) -> None:
        """A commit from outside replaces a leaf of the same device, or lets in who has a link.

        It changes nothing else of the roster, as no epoch is bound to that. MLS sees to it that
        nobody comes in the place of another device (`OfDevices.succeeds`), or brings others.
        """
        before = chat.known_roster()
        if roster.number == before.number:
            if not changes.removed:
                raise _refuse("a newcomer that is neither back nor let in")
            return
        joined = _joined(before, roster)
        own = (committer.account_id, committer.device_id)
        if joined is None or (joined.account, joined.device) != own:
            raise _refuse("a newcomer that changes the roster")
        _check_link(chat, joined, at)

    def _check_leaf(self, leaf: LeafNode, roster: Roster) -> LeafOwner:
        """A leaf that is new, or renewed, is of a device on the list of an account that may read.

        Of one that is on no list, MLS has not accepted the certificate (`Certificates.accepts`).
        The account shows the key under which it came onto the roster: behind another one there
        may be somebody else. A device that has left its list since, or whose account has changed
        its key since, is taken: it is removed as soon as that is seen.
        """
        owner = owner_of(leaf)
        if owner.account_id not in roster.state.members:
            raise _refuse("a leaf of an account that is not on the roster")
        if not self._lists.is_admitted(owner, roster.state):
            raise _refuse("a leaf under another account key than the roster's")
        return owner

    def _fulfilled(
        self,
        chat: Chat,
        changes: Changes,
        added: list[LeafOwner],
        wishes: Sequence[bytes],
        entry: Entry,
    ) -> set[bytes]:
        """The devices that are taken out and in again because they have asked for it.

        Unasked, anybody could silence a device again and again, by a key package that it has not
        any more.
        """
        again = {new.device_id for new in added}
        again &= {chat.owners[index].device_id for index in changes.removed}
        suite = chat.live().current.suite
        packages = {
            owner.device_id: package
            for owner, (_, package) in zip(added, changes.added, strict=True)
        }
        found = set()
        for data in wishes:
            wish = ReaddWish.decode(data)
            check_wish(chat, wish, entry.stored_at, self._lists)
            package = packages.get(wish.device)
            if package is None or package.reference(suite) != wish.package:
                raise _refuse("added again by another key package than was wished for")
            found.add(wish.device)
        if not found <= again:
            raise _refuse("a wish to be added again that is not fulfilled")
        return found

    def _check_removal(
        self, owner: LeafOwner, roster: Roster, committer: LeafOwner, seconds: int
    ) -> None:
        """Whose account stays, and who does not come again: idle, or off its account's list."""
        allowed = (
            owner.account_id == committer.account_id
            or owner.expires_at <= seconds
            or self._lists.has_left(owner, roster.state)
        )
        if not allowed:
            raise _refuse("a device was removed without a reason")

    def _check_gone(self, chat: Chat, roster: Roster, changes: Changes) -> None:
        """No leaf stays of an account that was taken off the roster, also if it is on it again."""
        before = chat.known_roster()
        if roster.number == before.number:
            return
        for account in before.state.differing(roster.state):
            if not set(chat.leaves_of(account)) <= set(changes.removed):
                raise _refuse("an account left the roster, and its devices stay")


def _check_one_each(chat: Chat, changes: Changes, added: Sequence[LeafOwner]) -> None:
    """No device has two leaves: one of them could be removed, and the other would read on."""
    devices = {new.device_id for new in added}
    leaves = (chat.leaf_of(device_id) for device_id in devices)
    twice = any(leaf is not None and leaf not in changes.removed for leaf in leaves)
    if twice or len(devices) < len(added):
        raise _refuse("two leaves of one device")


def _joined(before: Roster, after: Roster) -> JoinedByLink | None:
    """How somebody comes by a link in the one entry between two rosters; None if nobody does."""
    (change, *_) = after.head.changes
    one = after.number == before.number + 1
    return change if one and isinstance(change, JoinedByLink) else None


def _check_link(chat: Chat, joined: JoinedByLink, at: int) -> None:
    """Who comes by a link, comes before its end.

    The roster compares that with the time which the newcomer signs, the server with its own clock.
    Here it is the time of the server again, and never one before the last commit that all have
    followed: so the members decide alike, also those that read it much later. A member's own clock
    is not asked, as the next one's is another.
    """
    link = chat.known_roster().state.links[joined.link_id]
    if max(at, chat.record.followed_at) > link.expires_at + CLOCKS:
        raise _refuse("somebody came by a link that has ended")
