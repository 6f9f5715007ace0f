"""What machines in one process need not find out each for itself about groups they are in together.

Beside what is public in MLS (`mls.SharedStages`), the rosters: verified once, and kept once. Each
machine still looks up by its own lists who signed; where it would find another key, or none, it
does all for itself.

Nobody shares anything unless one of these is passed to machines that may know of each other in
which groups they are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from parlour.mls.public.framing.messages import MessageBody
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.extension import read_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster.device_signature import FindKey
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Genesis
from parlour.roster.roster import Roster

# Of 3,000 accounts one has about a megabyte; machines that are further apart do not share.
_MAX_ROSTERS: Final = 32

_Key: TypeAlias = tuple[int | bytes, bytes, bytes]
_Asked: TypeAlias = dict[tuple[bytes, bytes], Ed25519PublicKey | None]


@dataclass(frozen=True, slots=True)
class _Verified:
    """A roster, which keys it was verified with, and what it was made of.

    The base is kept, so that no other object comes to stand at its address.
    """

    roster: Roster
    asked: _Asked
    base: Roster | None


class SharedGroups:
    """Passed to the machines of one process, which share by it."""

    __slots__ = ("_rosters", "_tree", "stages")

    def __init__(self) -> None:
        self.stages = SharedStages()
        # The tree that was read last, and what it was read from.
        self._tree: tuple[bytes, RatchetTree] | None = None
        self._rosters: OrderedDict[_Key, _Verified] = OrderedDict()

    def decode(self, data: bytes) -> MessageBody:
        """Decode an MLS message, or find that it is one of the last."""
        return self.stages.decode(data)

    def read_tree(self, suite: CipherSuite, data: bytes) -> RatchetTree:
        """Read a tree, or find that it is the last one."""
        known = self._tree
        if known is not None and known[0] == data and known[1].suite == suite:
            return known[1]
        tree = read_tree(suite, data)
        self._tree = (data, tree)
        return tree

    def extend(self, roster: Roster, data: bytes, find_key: FindKey) -> Roster:
        """`Roster.extend` by an encoded entry."""
        key = (id(roster), data, b"")
        known = self._find(key, find_key)
        if known is not None:
            return known
        asked: _Asked = {}
        after = roster.extend(RosterEntry.decode(data), partial(_noting, asked, find_key))
        return self._keep(key, _Verified(after, asked, roster))

    def of_state(self, genesis: Genesis, state: bytes, head: bytes, find_key: FindKey) -> Roster:
        """`Roster.of_state`."""
        key = (genesis.hash(), state, head)
        known = self._find(key, find_key)
        if known is not None:
            return known
        asked: _Asked = {}
        roster = Roster.of_state(genesis, state, head, partial(_noting, asked, find_key))
        return self._keep(key, _Verified(roster, asked, None))

    def _find(self, key: _Key, find_key: FindKey) -> Roster | None:
        known = self._rosters.get(key)
        if known is None or any(find_key(*of) != found for of, found in known.asked.items()):
            return None
        return known.roster

    def _keep(self, key: _Key, verified: _Verified) -> Roster:
        self._rosters[key] = verified
        while len(self._rosters) > _MAX_ROSTERS:
            self._rosters.popitem(last=False)
        return verified.roster


def _noting(
    asked: _Asked, find_key: FindKey, account: bytes, device: bytes
) -> Ed25519PublicKey | None:
    """Look a key up, and remember what was found."""
    key = asked[account, device] = find_key(account, device)
    return key
