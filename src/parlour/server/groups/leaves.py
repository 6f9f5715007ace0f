"""The rules about leaves: who may have one after a commit, and who may be put out by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from parlour.mls.public.changes import Changes
from parlour.mls.public.staging import StagedPublic
from parlour.roster import Roster
from parlour.server.groups.authority import Authority, LeafOwner, owner_of
from parlour.server.groups.decoded import Sender
from parlour.server.groups.refusals import require
from parlour.server.groups.tracked import TrackedGroup


def owners_after(group: TrackedGroup, staged: StagedPublic) -> dict[int, LeafOwner]:
    """Whose each leaf is after a commit."""
    changes = staged.changes
    owners = dict(group.owners)
    for index in changes.removed:
        owners.pop(index, None)
    touched = [index for index, _ in changes.added] + list(changes.updated)
    if staged.path is not None:
        touched.append(staged.committer)
    for index in touched:
        leaf = staged.state.tree.leaf(index)
        if leaf is not None:
            owners[int(index)] = owner_of(leaf)
    return owners


def check_owners(
    owners: dict[int, LeafOwner], group: TrackedGroup, roster: Roster, *, begins: bool = False
) -> None:
    """That everybody who has a leaf may read, once each, and whoever came can.

    Where a group `begins` again, its maker is alone, and may tell of accounts that came in what
    this server has lost.
    """
    devices = {owner.device for owner in owners.values()}
    # Two leaves of one device would be two members with one voice, of which each could be removed
    # while the other stays.
    require(len(devices) == len(owners), "two leaves of one device")
    accounts = {owner.account for owner in owners.values()}
    for account in accounts:
        may_read = roster.state.may_read(account, group.stream)
        require(may_read, "a leaf of an account that may not read")
    came = roster.state.differing(group.roster.state)
    # Nobody is made a member of what none of their devices can read.
    require(begins or came <= accounts, "an account was added without a leaf")


def check_keys(
    owners: dict[int, LeafOwner],
    fresh: Collection[int],
    group: TrackedGroup,
    roster: Roster,
    authority: Authority,
) -> None:
    """That accounts come in under the keys that they show, and no leaf comes under another one.

    `fresh` are the leaves that come, or are renewed by who commits. What was proposed before was
    judged when it came.
    """
    came = roster.state.differing(group.roster.state)
    for index, owner in owners.items():
        if index in fresh:
            known = authority.shows_its_key(roster.state, owner.account)
            require(known, "a leaf of an account that shows another key than it came in under")
        else:
            # Who is asked in again comes with devices that show the key of then.
            require(owner.account not in came, "a leaf from before its account came in")


def check_removals(
    group: TrackedGroup,
    changes: Changes,
    roster: Roster,
    sender: Sender,
    authority: Authority,
    wishing: Collection[bytes],
    now: int,
) -> None:
    """That each leaf that goes has a reason to; `now` in seconds.

    `wishing` are devices that asked to be added again.
    """
    added = {owner_of(package.leaf_node).device for _, package in changes.added}
    removed = {group.owners[index].device for index in changes.removed}
    again = added.intersection(removed, wishing)
    require(len(again) == len(wishing), "a wish to be added again that is not fulfilled")
    gone = group.roster.state.differing(roster.state)
    for index in changes.removed:
        owner = group.owners[index]
        allowed = (
            # The roster says who is put out, and whether the signer may.
            owner.account in gone
            # Behind the account is perhaps somebody else by now.
            or not authority.shows_its_key(roster.state, owner.account)
            # What is no device of the account any more, or was not seen for too long.
            or not authority.is_active(owner.account, owner.device)
            or owner.expires_at <= now
            # One's own devices, and a device that could not follow and asked to be added again:
            # otherwise anybody could silence it, again and again, by key packages that are gone.
            or owner.account == sender.account
            or owner.device in again
        )
        require(allowed, "a leaf was removed without a reason")


def changed_indices(changes: Changes, committer: int) -> Iterable[int]:
    """Every leaf index that a commit may have changed."""
    added = {int(index) for index, _ in changes.added}
    return added | {int(index) for index in (*changes.removed, *changes.updated, committer)}
