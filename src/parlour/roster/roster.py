"""A roster: the newest entry of its log, and the state that the log leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parlour.errors import Code, SecurityStop
from parlour.primitives.hashes import equal
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster.changes import Change
from parlour.roster.device_signature import FindKey, nobody_known
from parlour.roster.draft import Step, changed, founded, invalid
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import RosterBinding
from parlour.roster.genesis import Genesis
from parlour.roster.limits import MAX_CLOCK_SKEW_MS
from parlour.roster.state import RosterState


@dataclass(frozen=True, slots=True)
class Roster:
    """What somebody holds who has followed the log up to `head`. A value: `extend` makes another.

    Entries that are verified need the keys of their signers, by account and device: pass a
    `FindKey` that knows the devices of the accounts' signed lists, also those that have left the
    list since.
    """

    genesis: Genesis
    state: RosterState
    head: RosterEntry

    @property
    def number(self) -> int:
        """The number of the newest entry."""
        return self.head.number

    @property
    def head_hash(self) -> bytes:
        """The hash of the newest entry, 32 bytes."""
        return self.head.hash()

    @property
    def binding(self) -> RosterBinding:
        """What binds an epoch of MLS to this entry."""
        return RosterBinding(self.genesis.hash(), self.number, self.head_hash)

    # --- The beginning ---

    @staticmethod
    def founding_entry(
        genesis: Genesis, changes: Sequence[Change], key: Ed25519PrivateKey
    ) -> RosterEntry:
        """Make entry 0, by the creator's device key; raises like `found` does.

        The first change is ``Added(creator, Role.OWNER)``; in conversations of fixed kinds all are
        added as members.
        """
        step = _founding_step(genesis)
        return RosterEntry(
            roster_id=genesis.roster_id,
            number=0,
            previous=genesis.hash(),
            changes=tuple(changes),
            state_hash=founded(genesis, tuple(changes), step).hash(),
            signer_account=step.account,
            signer_device=step.device,
            at=step.at,
        ).sign(key)

    @classmethod
    def found(cls, genesis: Genesis, entry: RosterEntry, find_key: FindKey) -> Roster:
        """Accept a genesis and entry 0, both signed by the creator's device.

        Raises `SecurityStop` (``roster.invalid``), `AccessError` (``roster.forbidden``) or
        `LimitError`.
        """
        key = find_key(genesis.creator_account, genesis.creator_device)
        genesis.verify(key)
        state = _founding_state(genesis, entry)
        entry.verify_signature(key)
        return cls(genesis, state, entry)

    @classmethod
    def of_state(cls, genesis: Genesis, state: bytes, head: bytes, find_key: FindKey) -> Roster:
        """Take up a roster in the middle, from its encoded state and newest entry.

        For who joins. That the log led here honestly, the member says who lets us in: the
        GroupInfo that it has signed is bound to the head (`extension`). What can be checked is:
        the forms, that all belong together, the signatures of those devices that are known.
        """
        decoded, entry = RosterState.decode(state), RosterEntry.decode(head)
        genesis.check()
        ids = (decoded.roster_id, decoded.stream, decoded.kind)
        if ids != (genesis.roster_id, genesis.stream, genesis.kind):
            raise invalid("a state of another roster")
        if entry.roster_id != genesis.roster_id or entry.signer_account not in decoded.members:
            raise invalid("an entry of another roster")
        if any(member.since > entry.number for member in decoded.members.values()):
            raise invalid("a member from the future")
        _require_hash(decoded, entry)
        if entry.number == 0:
            _founding_state(genesis, entry)
        _verify_if_known(genesis, entry, find_key)
        return cls(genesis, decoded, entry)

    # --- Going on ---

    def next_entry(
        self,
        changes: Sequence[Change],
        signer_account: bytes,
        signer_device: bytes,
        key: Ed25519PrivateKey,
        at: int,
        find_key: FindKey = nobody_known,
    ) -> RosterEntry:
        """Make the entry that follows, or raise what others would raise about it.

        `at` is our clock in milliseconds; an entry never says less than the one before it.
        `find_key` is needed for leaves alone.
        """
        at = max(at, self.head.at)
        step = Step(signer_account, signer_device, self.number + 1, at, find_key)
        return RosterEntry(
            roster_id=self.state.roster_id,
            number=step.number,
            previous=self.head_hash,
            changes=tuple(changes),
            state_hash=changed(self.state, tuple(changes), step).hash(),
            signer_account=signer_account,
            signer_device=signer_device,
            at=at,
        ).sign(key)

    def extend(self, entry: RosterEntry, find_key: FindKey, now: int | None = None) -> Roster:
        """Accept the entry that follows, or raise and stay as it is.

        `now` (milliseconds) is for the server, which sees entries as they are made: with it, links
        end by its clock as well, and an entry from the future is refused. Who reads the log later
        passes none.

        Raises `SecurityStop` (``roster.rollback`` for an entry that does not follow the head,
        ``roster.invalid`` for one that can't be), `AccessError` (``roster.forbidden``: the signer
        had not the right), `LimitError`.
        """
        self._require_next(entry)
        if now is not None and entry.at > now + MAX_CLOCK_SKEW_MS:
            raise invalid("an entry from the future")
        entry.verify_signature(find_key(entry.signer_account, entry.signer_device))
        step = Step(
            entry.signer_account, entry.signer_device, entry.number, entry.at, find_key, now
        )
        state = changed(self.state, entry.changes, step)
        _require_hash(state, entry)
        return Roster(self.genesis, state, entry)

    def _require_next(self, entry: RosterEntry) -> None:
        if entry.roster_id != self.state.roster_id:
            raise invalid("an entry of another roster")
        if entry.number <= self.number:
            raise SecurityStop(Code.ROSTER_ROLLBACK, "an entry at or before the head")
        if entry.number > self.number + 1:
            raise invalid("entries are missing")
        if not equal(entry.previous, self.head_hash):
            raise SecurityStop(Code.ROSTER_ROLLBACK, "an entry after another head")
        if entry.at < self.head.at:
            raise invalid("an entry whose time goes back")


def _founding_step(genesis: Genesis) -> Step:
    return Step(
        genesis.creator_account, genesis.creator_device, 0, genesis.created_at, nobody_known
    )


def _founding_state(genesis: Genesis, entry: RosterEntry) -> RosterState:
    """What entry 0 leads to. Its signature is not looked at."""
    step = _founding_step(genesis)
    if (entry.roster_id, entry.number) != (genesis.roster_id, 0):
        raise invalid("an entry of another roster")
    if not equal(entry.previous, genesis.hash()):
        raise invalid("an entry of another genesis")
    signer = (entry.signer_account, entry.signer_device, entry.at)
    if signer != (step.account, step.device, step.at):
        raise invalid("a founding entry that its creator has not made")
    state = founded(genesis, entry.changes, step)
    _require_hash(state, entry)
    return state


def _require_hash(state: RosterState, entry: RosterEntry) -> None:
    if not equal(state.hash(), entry.state_hash):
        raise invalid("an entry that leads to another state")


def _verify_if_known(genesis: Genesis, entry: RosterEntry, find_key: FindKey) -> None:
    creator = find_key(genesis.creator_account, genesis.creator_device)
    if creator is not None:
        genesis.verify(creator)
    signer = find_key(entry.signer_account, entry.signer_device)
    if signer is not None:
        entry.verify_signature(signer)
