"""The rules about leaves: who may have one after a commit, and who may be put out by it."""

from __future__ import annotations

from collections.abc import Iterable

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
    new = roster.state.members.keys() - group.roster.state.members.keys()
    # Nobody is made a member of what none of their devices can read.
    require(begins or new <= accounts, "an account was added without a leaf")


def check_removals(
    group: TrackedGroup,
    changes: Changes,
    roster: Roster,
    sender: Sender,
    authority: Authority,
    now: int,
) -> None:
    """That each leaf that goes has a reason to; `now` in seconds."""
    again = {owner_of(package.leaf_node).device for _, package in changes.added}
    for index in changes.removed:
        owner = group.owners[index]
        allowed = (
            # The roster says who is put out, and whether the signer may.
            owner.account not in roster.state.members
            # What is no device of the account any more, or was not seen for too long.
            or not authority.is_active(owner.account, owner.device)
            or owner.expires_at <= now
            # One's own devices, and a device that could not follow and is added again.
            or owner.account == sender.account
            or owner.device in again
        )
        require(allowed, "a leaf was removed without a reason")


def changed_indices(changes: Changes, committer: int) -> Iterable[int]:
    """Every leaf index that a commit may have changed."""
    added = {int(index) for index, _ in changes.added}
    return added | {int(index) for index in (*changes.removed, *changes.updated, committer)}
