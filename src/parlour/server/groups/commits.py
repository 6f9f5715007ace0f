"""What a commit has to fulfil in public, apart from RFC 9420: by it a group goes on.

Runs in a thread of its own, because the signatures of a thousand key packages take a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parlour.codec import decode
from parlour.errors import AuthenticationError, Code, LimitError
from parlour.mls.public.changes import Changes
from parlour.mls.public.commit import ProposalRef
from parlour.mls.public.group_context import external_pub
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    Remove,
    Update,
)
from parlour.mls.public.staging import StagedPublic
from parlour.mls.public.types import ExtensionType, ProposalType, SenderType
from parlour.mls.public.welcome import EncryptedGroupSecrets
from parlour.roster import EXTENSION_TYPE, JoinedByLink, Roster, RosterEntry
from parlour.server.groups.authority import Authority, owner_of
from parlour.server.groups.decoded import DecodedCommit, Sender
from parlour.server.groups.leaves import (
    changed_indices,
    check_keys,
    check_owners,
    check_removals,
    owners_after,
)
from parlour.server.groups.refusals import judged, refusal, require
from parlour.server.groups.tracked import (
    TrackedGroup,
    changed_nodes,
    decode_group_info,
    encoded_size,
    tree_bytes,
)
from parlour.server.store.group_records import KEEP_WISH_MS, GroupChange, Leaf
from parlour.wire.groups import CommitBody, Handshake
from parlour.wire.limits import MAX_TREE

_ALLOWED: Final = (Add, Remove, GroupContextExtensions, ExternalInit, ProposalRef)


@dataclass(frozen=True, slots=True)
class Judged:
    """A handshake that was found right: what it changes, and the group after it."""

    change: GroupChange
    after: TrackedGroup


@dataclass(frozen=True, slots=True)
class Commitment:
    """A commit to be judged: as it came, decoded, and by whom; `now` in milliseconds."""

    request: Handshake
    body: CommitBody
    decoded: DecodedCommit
    sender: Sender
    now: int

    @property
    def is_external(self) -> bool:
        """Whether it comes from outside (RFC 9420 §12.4.3.2)."""
        kind = self.decoded.message.content.sender.sender_type
        return kind is SenderType.NEW_MEMBER_COMMIT


def judge_commit(group: TrackedGroup, commitment: Commitment, authority: Authority) -> Judged:
    """Judge a commit to `group`, or raise by which rule it is refused."""
    with judged():
        _check_sender(group, commitment)
        _check_kinds(commitment)
        roster = extended(group, commitment, authority)
        seconds = commitment.now // 1000
        waiting = authority.having_accepted(_proposed(group))
        staged = group.public(waiting.policy).receive(commitment.decoded.message, seconds)
        if not isinstance(staged, StagedPublic):
            raise refusal("not a commit")
        changes = staged.changes
        _check_extensions(group, staged, roster, external=commitment.is_external)
        if commitment.is_external:
            _check_place(group, changes, commitment)
        owners = owners_after(group, staged)
        check_owners(owners, group, roster)
        check_keys(owners, _fresh(staged), group, roster, authority)
        wishes = fulfilled(group, commitment, authority)
        _check_wished(commitment, staged)
        check_removals(group, changes, roster, commitment.sender, authority, wishes.keys(), seconds)
        _check_size(staged)
        _check_parts(commitment, staged)
        check_group_info(decode_group_info(commitment.request.group_info), staged)
    after = TrackedGroup(
        group.kind,
        group.stream,
        group.generation,
        staged.state,
        roster,
        owners,
        wishes={
            device: at
            for device, at in (group.wishes | wishes).items()
            if at > commitment.now - KEEP_WISH_MS
        },
    )
    return Judged(_change(group, after, commitment, staged, wishes), after)


def _proposed(group: TrackedGroup) -> Iterator[bytes]:
    """The credentials that stand in proposals which were judged before."""
    for sent in group.proposals:
        if isinstance(sent.proposal, Update):
            yield sent.proposal.leaf_node.credential.encode()


def _check_place(group: TrackedGroup, changes: Changes, commitment: Commitment) -> None:
    """That who comes from outside was here before, or is let in by the roster's entry it brings."""
    sender = commitment.sender
    for index in changes.removed:
        owner = group.owners[index]
        own = (owner.account, owner.device) == (sender.account, sender.device)
        require(own, "a newcomer in the place of another device")
    entered = bool(changes.removed or commitment.decoded.entries)
    require(entered, "a newcomer that is neither back nor let in")


def _fresh(staged: StagedPublic) -> set[int]:
    """The leaves that a commit brings, and that of who commits."""
    return {int(index) for index, _ in staged.changes.added} | {int(staged.committer)}


def _check_sender(group: TrackedGroup, commitment: Commitment) -> None:
    """That whoever brings it has made it."""
    sender = commitment.decoded.message.content.sender
    match sender.sender_type:
        case SenderType.MEMBER:
            owner = group.owners.get(sender.index)
        case SenderType.NEW_MEMBER_COMMIT:
            path = commitment.decoded.commit.path
            owner = None if path is None else owner_of(path.leaf_node)
        case _:
            raise refusal("a sender that is neither a member nor comes in")
    own = owner is not None and (owner.account, owner.device) == (
        commitment.sender.account,
        commitment.sender.device,
    )
    require(own, "a commit of another device")


def _check_kinds(commitment: Commitment) -> None:
    """Kinds that nobody here uses could only do harm: a ReInit ends the group for all."""
    for proposal in commitment.decoded.commit.proposals:
        if not isinstance(proposal, _ALLOWED):
            kind = proposal.proposal_type
            name = ProposalType(kind).name if kind in list(ProposalType) else "unknown"
            raise refusal(f"a proposal of a kind that is not used: {name}")


def extended(group: TrackedGroup, commitment: Commitment, authority: Authority) -> Roster:
    """The roster after the entries that came with a commit."""
    entries = commitment.decoded.entries
    if commitment.is_external:
        # Who comes in brings the entry by which it comes, or stands on the roster already.
        require(len(entries) <= 1, "a newcomer who changes the roster")
        brought = commitment.decoded.message.content.authenticated_data
        bound = brought == RosterEntry.brought(entries)
        require(bound, "other roster entries than the newcomer's commit names")
        by_link = all(isinstance(each.changes[0], JoinedByLink) for each in entries if each.changes)
        require(by_link, "a newcomer who changes the roster")
    roster = group.roster
    for entry in entries:
        active = authority.is_active(entry.signer_account, entry.signer_device)
        require(active, "a roster entry of a device that is not on its list")
        if commitment.is_external:
            own = entry.signer_device == commitment.sender.device
            require(own, "a roster entry of another device")
        else:
            joins = any(isinstance(change, JoinedByLink) for change in entry.changes)
            require(not joins, "who comes in by a link does it by a commit from outside")
        roster = roster.extend(entry, authority.find_key, commitment.now)
    return roster


def fulfilled(
    group: TrackedGroup, commitment: Commitment, authority: Authority
) -> dict[bytes, int]:
    """When the devices asked whose wishes to be added again came with a commit."""
    found = {}
    for wish in commitment.decoded.wishes:
        active = authority.is_active(wish.account, wish.device)
        require(active, "a wish of a device that is not on its list")
        wish.check(
            group.stream,
            (group.generation, group.epoch),
            commitment.now,
            group.wishes.get(wish.device, 0),
            authority.find_key(wish.account, wish.device),
        )
        found[wish.device] = wish.at
    return found


def _check_wished(commitment: Commitment, staged: StagedPublic) -> None:
    """That who asked comes by the key package that it named: it may not have others any more."""
    packages = {
        owner_of(package.leaf_node).device: package.reference(staged.state.suite)
        for _, package in staged.changes.added
    }
    for wish in commitment.decoded.wishes:
        named = packages.get(wish.device, wish.package) == wish.package
        require(named, "a device that comes by another key package than it wished")


def _check_extensions(
    group: TrackedGroup, staged: StagedPublic, roster: Roster, *, external: bool
) -> None:
    """That nothing of the context changes but the roster's place, and that is exact.

    A commit from outside can't change it (RFC 9420 §12.2): the next one of a member does.
    """
    before = {e.extension_type: e.extension_data for e in group.state.group_context.extensions}
    after = {e.extension_type: e.extension_data for e in staged.state.group_context.extensions}
    if not external:
        bound = after.get(EXTENSION_TYPE) == roster.binding.encode()
        require(bound, "an epoch that is not bound to the newest roster entry")
        after[EXTENSION_TYPE] = before[EXTENSION_TYPE]
    require(before == after, "other extensions of the group were changed")


def _check_size(staged: StagedPublic) -> None:
    if encoded_size(staged.state.tree) > MAX_TREE:
        raise LimitError(Code.LIMIT_COUNT, "devices of a group: its tree would fit no answer")


def _check_parts(commitment: Commitment, staged: StagedPublic) -> None:
    """That each new device gets its secrets, for the key package by which it was added."""
    suite = staged.state.suite
    expected = {
        owner_of(package.leaf_node).device: package.reference(suite)
        for _, package in staged.changes.added
    }
    parts = commitment.request.parts
    named = {part.device_id: part.data for part in parts}
    exact = len(named) == len(parts) and named.keys() == expected.keys()
    require(exact, "parts for others than the devices that were added")
    require(bool(commitment.body.welcome) == bool(expected), "a Welcome for nobody, or none")
    for device, data in named.items():
        secrets = decode(data, EncryptedGroupSecrets.read)
        require(secrets.new_member == expected[device], "a part for another key package")


def check_group_info(info: GroupInfo, staged: StagedPublic) -> None:
    """That the GroupInfo is the committer's, and of the epoch to which the commit leads."""
    context = staged.state.group_context
    same = info.group_context.encoded == context.encoded
    require(same, "a GroupInfo of another epoch")
    require(info.confirmation_tag == staged.confirmation_tag, "a GroupInfo of another epoch")
    require(info.signer == staged.committer, "a GroupInfo of another member")
    check_open(info)
    leaf = staged.state.tree.leaf(info.signer)
    suite = staged.state.suite
    try:
        if leaf is None:
            raise refusal("a GroupInfo of another member")
        leaf.verifying_key(suite).verify(info.signature, info.signed_data(suite))
    except AuthenticationError as error:
        raise refusal("a GroupInfo whose signature does not verify") from error


def check_open(info: GroupInfo) -> None:
    """That newcomers can use a GroupInfo: it has the key that they need, and not the tree again."""
    require(external_pub(info.extensions) is not None, "a GroupInfo without external_pub")
    lean = info.extensions.find(ExtensionType.RATCHET_TREE) is None
    require(lean, "a GroupInfo with the tree in it")


def _change(
    group: TrackedGroup,
    after: TrackedGroup,
    commitment: Commitment,
    staged: StagedPublic,
    wishes: dict[bytes, int],
) -> GroupChange:
    roster = accounts = None
    if after.roster.number != group.roster.number:
        roster = (after.roster.state.encode(), after.roster.head.encode())
        accounts = frozenset(after.roster.state.members)
    leaves = [
        Leaf(index, owner.device if (owner := after.owners.get(index)) else None)
        for index in changed_indices(staged.changes, staged.committer)
    ]
    return GroupChange(
        generation=group.generation,
        epoch=after.epoch,
        group_info=commitment.request.group_info,
        nodes=changed_nodes(group.state.tree, staged.state.tree),
        leaves=leaves,
        roster=roster,
        accounts=accounts,
        tree=tree_bytes(staged.state.tree) if staged.changes.added else None,
        wishes=wishes,
    )
