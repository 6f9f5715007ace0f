"""A group in memory, as it is in one epoch. Never changed: what comes next is another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.errors import Code, DecodeError, InternalError
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.mls.public.group import PublicGroup
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.policy import Policy
from parlour.mls.public.state import ProposalStore, PublicState
from parlour.mls.public.suites import find_suite
from parlour.mls.public.transcript import interim_transcript_hash
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.roster import Genesis, Roster, RosterEntry, RosterState
from parlour.server.groups.authority import STORED, LeafOwner, owner_of
from parlour.server.store.group_records import Node, StoredGroup, encode_nodes

GENERATION_SIZE: Final = 4


def mls_group_id(stream: bytes, generation: int) -> bytes:
    """The MLS group of a stream's generation."""
    return stream + generation.to_bytes(GENERATION_SIZE)


def decode_group_info(data: bytes) -> GroupInfo:
    """A GroupInfo in its MLSMessage, or `DecodeError`."""
    message = decode_message(data)
    if not isinstance(message, GroupInfoMessage):
        raise DecodeError(Code.DECODE_MALFORMED, "not a GroupInfo")
    return message.group_info


@dataclass(frozen=True, slots=True)
class TrackedGroup:
    """One epoch in public, its roster, and whose each leaf is (by leaf index).

    `wishes`: when the devices asked that were last added again, by their wish.
    """

    kind: str
    stream: bytes
    generation: int
    state: PublicState
    roster: Roster
    owners: dict[int, LeafOwner] = field(repr=False)
    proposals: ProposalStore = field(default_factory=ProposalStore, repr=False)
    wishes: dict[bytes, int] = field(default_factory=dict, repr=False)

    @property
    def epoch(self) -> int:
        """The number of the epoch."""
        return self.state.group_context.epoch

    @property
    def place(self) -> tuple[int, int, int]:
        """What tells whether the database is still where this is: the last is how many wait."""
        return self.generation, self.epoch, len(self.proposals)

    def public(self, policy: Policy) -> PublicGroup:
        """The group, to be gone on with under a policy."""
        return PublicGroup(self.state, policy, self.proposals)

    @classmethod
    def of(cls, stored: StoredGroup) -> TrackedGroup:
        """Take up what was stored. Expensive: decodes the tree."""
        info = decode_group_info(stored.group_info)
        context = info.group_context
        suite = find_suite(context.cipher_suite)
        tree = read_tree(suite, encode_nodes(stored.nodes))
        interim = interim_transcript_hash(
            suite, context.confirmed_transcript_hash, info.confirmation_tag
        )
        roster = Roster(
            Genesis.decode(stored.info.genesis),
            RosterState.decode(stored.roster_state),
            RosterEntry.decode(stored.roster_head),
        )
        public = PublicGroup(PublicState(suite, context, tree, interim), STORED)
        for message in stored.proposals:
            after = public.receive(message, 0)
            if not isinstance(after, PublicGroup):
                raise InternalError(Code.INTERNAL_BUG, "a commit among the proposals")
            public = after
        return cls(
            stored.info.kind,
            stored.info.stream,
            stored.generation,
            public.state,
            roster,
            owners_of(tree),
            public.proposals,
            stored.wishes,
        )


def owners_of(tree: RatchetTree) -> dict[int, LeafOwner]:
    """Whose each leaf is."""
    return {int(index): owner_of(leaf) for index, leaf in tree.members()}


def changed_nodes(before: RatchetTree | None, after: RatchetTree) -> list[Node]:
    """What stands elsewhere or otherwise than before; nodes that stayed are the same objects."""
    old = [] if before is None else before.nodes()
    new = after.nodes()
    changed = [
        Node(position, encode_node(after, position))
        for position in range(len(new))
        if position >= len(old) or new[position] is not old[position]
    ]
    return changed + [Node(position, None) for position in range(len(new), len(old))]


def encode_node(tree: RatchetTree, position: int) -> bytes | None:
    """A node as it stands in the extension `ratchet_tree`; None for a blank one."""
    node = tree.node(position)
    if node is None:
        return None
    return (b"\x01\x02" if position % 2 else b"\x01\x01") + node.encoded


def encoded_size(tree: RatchetTree) -> int:
    """About how many bytes the tree takes, a little more than it does."""
    return sum(1 if node is None else len(node.encoded) + 2 for node in tree.nodes())


def tree_bytes(tree: RatchetTree) -> bytes:
    """The tree as joiners get it."""
    return encode_tree(tree)
