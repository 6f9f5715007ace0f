"""Which of the proposals that were sent a commit of ours covers.

Spec: RFC 9420 §12.2, §12.4 ("The sender of a Commit SHOULD include all proposals that it has
received during the current epoch that are valid").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import compress

from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    OtherProposal,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from parlour.mls.public.state import SentProposal
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex


def select_proposals(
    sent: Iterable[SentProposal],
    own: Iterable[SentProposal],
    committer: LeafIndex,
    tree: RatchetTree,
) -> tuple[SentProposal, ...]:
    """A valid list: what came, then what the committer adds itself, conflicts resolved.

    Of one leaf a Remove is preferred, then the most recent Update; the committer's own Updates are
    left to its path; a ReInit stands alone or not at all, and yields to anything else that came.
    """
    own = tuple(own)
    if any(isinstance(item.proposal, ReInit) for item in own):
        return own
    candidates = [item for item in (*sent, *own) if not isinstance(item.proposal, ExternalInit)]
    rest = [item for item in candidates if not isinstance(item.proposal, ReInit)]
    if not rest:
        return tuple(candidates[-1:])
    removed = {item.proposal.removed for item in rest if isinstance(item.proposal, Remove)}
    return tuple(_distinct(rest, removed, committer, tree))


def without_spoilers(
    selected: tuple[SentProposal, ...], is_valid: Callable[[tuple[SentProposal, ...]], bool]
) -> tuple[SentProposal, ...]:
    """What is left of a list that is not valid: all of our own, and of others' what does not spoil.

    A proposal can be valid by itself and no commit can cover it: a pre-shared key that nobody has,
    extensions that not all support. Left in, it would stop every commit of the epoch, also the one
    that removes its sender.
    """
    kept = [item.reference is None for item in selected]
    for place, item in enumerate(selected):
        if item.reference is not None:
            kept[place] = True
            kept[place] = is_valid(tuple(compress(selected, kept)))
    return tuple(compress(selected, kept))


def _distinct(
    items: list[SentProposal], removed: set[LeafIndex], committer: LeafIndex, tree: RatchetTree
) -> Iterable[SentProposal]:
    """One of each kind for each leaf, client or key."""
    latest = {item.sender.leaf_index: item for item in items if isinstance(item.proposal, Update)}
    seen: set[object] = set()
    for item in items:
        if isinstance(item.proposal, Update):
            index = item.sender.leaf_index
            wanted = index not in removed and index != committer and latest[index] is item
        else:
            wanted = _is_wanted(item, removed, committer, tree)
        key = _place(item)
        if wanted and key not in seen:
            seen.add(key)
            yield item


def _is_wanted(
    item: SentProposal, removed: set[LeafIndex], committer: LeafIndex, tree: RatchetTree
) -> bool:
    match item.proposal:
        case Add(key_package):
            present = tree.index.signature_keys.get(key_package.leaf_node.signature_key)
            return present is None or present in removed
        case Remove(index):
            return index != committer
        case OtherProposal(kind):
            return tree.index.support.proposal(kind)
        case _:
            return True


def _place(item: SentProposal) -> object:
    """What there can be only one proposal for."""
    match item.proposal:
        case Add(key_package):
            return ("add", key_package.leaf_node.signature_key)
        case Remove(index):
            return ("leaf", index)
        case Update():
            return ("leaf", item.sender.leaf_index)
        case PreSharedKey(psk):
            return ("psk", psk)
        case OtherProposal():
            return ("other", item.reference, item.proposal)
        case _:
            return item.proposal.proposal_type
