"""What came in a handshake, decoded, and which devices it names. Nothing is judged yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parlour.errors import Code, DecodeError
from parlour.mls.public.commit import Commit
from parlour.mls.public.framing.messages import PublicMessage, decode_message
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.proposals import Add, Remove, Update
from parlour.roster import Left, ReaddWish, RosterEntry
from parlour.server.groups.authority import owner_of
from parlour.server.groups.tracked import TrackedGroup
from parlour.wire.groups import CommitBody


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose token it is."""

    account: bytes
    device: bytes


@dataclass(frozen=True, slots=True)
class DecodedCommit:
    """A commit with the roster entries and the wishes that came with it."""

    message: PublicMessage
    commit: Commit
    entries: tuple[RosterEntry, ...]
    wishes: tuple[ReaddWish, ...] = ()

    @classmethod
    def decode(cls, body: CommitBody) -> DecodedCommit:
        """Decode the contents of a `CommitBody`, or raise `DecodeError`."""
        message = decode_public(body.commit)
        commit = message.content.body
        if not isinstance(commit, Commit):
            raise DecodeError(Code.DECODE_MALFORMED, "not a commit")
        entries = tuple(map(RosterEntry.decode, body.roster))
        return cls(message, commit, entries, tuple(map(ReaddWish.decode, body.wishes)))

    def devices(self, group: TrackedGroup) -> set[bytes]:
        """Every device that judging it may ask about."""
        leaves = {owner_of(leaf).device for leaf in self._leaves(group)}
        removed = {
            owner.device
            for proposal in self.commit.proposals
            if isinstance(proposal, Remove)
            and (owner := group.owners.get(proposal.removed)) is not None
        }
        wishing = {wish.device for wish in self.wishes}
        return leaves | removed | wishing | devices_of(self.entries)

    def _leaves(self, group: TrackedGroup) -> Iterator[LeafNode]:
        for proposal in self.commit.proposals:
            if isinstance(proposal, Add):
                yield proposal.key_package.leaf_node
        for sent in group.proposals:
            if isinstance(sent.proposal, Update):
                yield sent.proposal.leaf_node
            elif isinstance(sent.proposal, Remove):
                leaf = group.state.tree.leaf(sent.proposal.removed)
                if leaf is not None:
                    yield leaf
        if self.commit.path is not None:
            yield self.commit.path.leaf_node


def decode_public(data: bytes) -> PublicMessage:
    """A public message, or `DecodeError`: a private handshake could be judged by nobody here."""
    message = decode_message(data)
    if not isinstance(message, PublicMessage):
        raise DecodeError(Code.DECODE_MALFORMED, "not a PublicMessage")
    return message


def devices_of(entries: tuple[RosterEntry, ...]) -> set[bytes]:
    """The devices whose signatures stand in roster entries."""
    found = {entry.signer_device for entry in entries}
    for entry in entries:
        found |= {change.device for change in entry.changes if isinstance(change, Left)}
    return found
