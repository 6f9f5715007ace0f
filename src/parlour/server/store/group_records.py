"""What goes into a store and comes out of it for groups on MLS.

All times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from parlour.codec import opaque_parts
from parlour.server.store.records import DAY_MS, Retention
from parlour.wire.envelope import Envelope
from parlour.wire.streams import Part, StreamInfo

# How many trees are kept of one group for those who have yet to join: a group that grows by many
# small steps at once has no more joiners on their way.
MAX_JOINABLE_EPOCHS: Final = 16
# As long as entries of a queue: who comes later asks to be added again.
KEEP_EPOCH_MS: Final = 30 * DAY_MS
# Who was removed reads up to its removal as long.
KEEP_FORMER_MS: Final = 30 * DAY_MS
# How long it is known that a wish to be added again was fulfilled: longer than one is good.
KEEP_WISH_MS: Final = 2 * 3_600_000
_BLANK: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Node:
    """What stands at a position of a tree, as in the extension `ratchet_tree`; None: nothing."""

    position: int
    data: bytes | None


def encode_nodes(nodes: Sequence[Node]) -> bytes:
    """`optional<Node> ratchet_tree<V>` (RFC 9420 §12.4.3.3) of nodes in their order."""
    parts = [_BLANK] * (nodes[-1].position + 1 if nodes else 0)
    for node in nodes:
        parts[node.position] = node.data or _BLANK
    return b"".join(opaque_parts(*parts))


@dataclass(frozen=True, slots=True)
class Leaf:
    """Whose device a leaf is; None: nobody's any more."""

    index: int
    device_id: bytes | None


@dataclass(frozen=True, slots=True)
class NewGroup:
    """All that founding makes, in one step. `info` has the roster's accounts as members."""

    info: StreamInfo
    retention: Retention
    group_info: bytes
    roster_state: bytes
    roster_head: bytes
    node: bytes


@dataclass(frozen=True, slots=True)
class GroupHead:
    """Where a group is. `earlier` is the place of an entry of the same (device, client id).

    `roster_state` is there for who is not a member, and may hold a link.
    """

    kind: str
    generation: int
    epoch: int
    proposals: int
    earlier: tuple[int, int] | None
    roster_state: bytes | None


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as it is kept. `seq` is the entry that led to its epoch, 0 for the founding.

    `wishes` are the times of the last wishes to be added again that were fulfilled, by device.
    """

    info: StreamInfo
    generation: int
    epoch: int
    seq: int
    group_info: bytes
    roster_state: bytes
    roster_head: bytes
    nodes: list[Node] = field(repr=False)
    proposals: list[bytes] = field(repr=False)
    wishes: dict[bytes, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A device of an account, with its signature key. `list_entry` is the newest of the account."""

    account_id: bytes
    device_id: bytes
    signature_key: bytes
    active: bool
    list_entry: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Handshaken:
    """An entry that changes a group, or prepares a change, and where the group has to be for it."""

    stream: bytes
    client_id: bytes
    envelope: Envelope
    parts: Sequence[Part]
    generation: int
    epoch: int


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What a commit or a restart leads to. `nodes` and `leaves` are those that changed.

    `whole` says that they are all that there are. `roster` is state and head, where they changed;
    `accounts` then are all that are on it. `tree` is there if devices were added, who will ask for
    it. `wishes` were fulfilled by it: by device, when it asked.
    """

    generation: int
    epoch: int
    group_info: bytes
    nodes: Sequence[Node]
    leaves: Sequence[Leaf]
    whole: bool = False
    roster: tuple[bytes, bytes] | None = None
    accounts: frozenset[bytes] | None = None
    tree: bytes | None = None
    wishes: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandshakePlace:
    """Where an entry that won stands, and who is to hear of it.

    `members` are the accounts from now on, `version` names them; `added` and `removed` are those
    that came and went with it.
    """

    seq: int
    stored_at: int
    repeated: bool
    version: int
    members: tuple[bytes, ...]
    added: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
