"""The log: what follows, what does not, and what a newcomer takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import Code, ParlourError, SecurityStop
from parlour.roster import Added, Genesis, Kind, Named, Removed, Role, RoleSet, Roster
from parlour.roster.device_signature import nobody_known
from parlour.roster.entry import RosterEntry
from parlour.roster.limits import MAX_CLOCK_SKEW_MS
from tests.rosters import (
    ANNA,
    BEA,
    CARL,
    DORA,
    NOW,
    added,
    entry_of,
    find_key,
    forge,
    found,
    genesis_of,
    step,
)


def refused(code: Code = Code.ROSTER_INVALID) -> pytest.RaisesExc[ParlourError]:
    return pytest.RaisesExc(ParlourError, check=lambda error: error.code is code)


def test_a_group_grows_and_shrinks() -> None:
    roster = found(Kind.GROUP, added(BEA, Role.ADMIN))
    roster = step(roster, BEA, added(CARL), Named(b"n" * 32))
    roster = step(roster, ANNA, RoleSet(CARL.account, Role.MODERATOR))
    roster = step(roster, ANNA, Removed(BEA.account))
    assert roster.number == 3
    assert roster.state.ordered() == [ANNA.account, CARL.account]
    assert roster.state.members[CARL.account].since == 1
    assert roster.state.name_commitment == b"n" * 32
    assert roster.binding.number == 3
    assert roster.binding.head == roster.head_hash == roster.head.hash()
    assert roster.binding.genesis_hash == roster.genesis.hash()


def test_own_entry_is_refused_before_it_is_signed() -> None:
    roster = found(Kind.GROUP, added(BEA))
    with refused(Code.ROSTER_FORBIDDEN):
        entry_of(roster, BEA, added(CARL))


def test_time_never_goes_back() -> None:
    roster = found()
    entry = entry_of(roster, ANNA, added(BEA), at=NOW - 5)
    assert entry.at == NOW
    with refused():
        roster.extend(forge(roster, ANNA, [added(BEA)], entry.state_hash, NOW - 5), find_key)


def test_entry_from_the_future_is_refused_by_who_has_a_clock() -> None:
    roster = found()
    entry = entry_of(roster, ANNA, added(BEA), at=NOW + MAX_CLOCK_SKEW_MS + 1)
    with refused():
        roster.extend(entry, find_key, NOW)
    assert roster.extend(entry, find_key, NOW + 1) == roster.extend(entry, find_key)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"number": 0}, Code.ROSTER_ROLLBACK),
        ({"number": 2}, Code.ROSTER_INVALID),
        ({"previous": bytes(32)}, Code.ROSTER_ROLLBACK),
        ({"roster_id": bytes(16)}, Code.ROSTER_INVALID),
        ({"state_hash": bytes(32)}, Code.ROSTER_INVALID),
        ({"changes": (added(CARL),)}, Code.ROSTER_INVALID),
        ({"changes": ()}, Code.ROSTER_INVALID),
    ],
)
def test_what_does_not_follow(changes: dict[str, object], code: Code) -> None:
    roster = found()
    good = entry_of(roster, ANNA, added(BEA))
    bad = replace(good, **changes).sign(ANNA.key)  # type: ignore[arg-type]
    with refused(code):
        roster.extend(bad, find_key)


def test_who_signs_must_be_known_and_be_the_one_named() -> None:
    roster = found(Kind.GROUP, added(BEA, Role.ADMIN))
    good = entry_of(roster, BEA, added(CARL))
    with refused():
        roster.extend(good, nobody_known)
    with refused():
        roster.extend(good, lambda account, device: ANNA.key.public_key)
    for bad in (
        replace(good, signature=bytes(64)),
        replace(good, signer_device=ANNA.device),
        replace(good, signer_account=ANNA.account),
        replace(good, signer_account=ANNA.account, signer_device=ANNA.device),
        replace(good, at=NOW + 1),
    ):
        with refused():
            roster.extend(bad, find_key)
    assert roster.extend(good, find_key).number == 1


def test_two_entries_of_one_number_exclude_each_other() -> None:
    roster = found()
    one, other = entry_of(roster, ANNA, added(BEA)), entry_of(roster, ANNA, added(CARL))
    followed = roster.extend(one, find_key)
    with refused(Code.ROSTER_ROLLBACK):
        followed.extend(other, find_key)
    with refused(Code.ROSTER_ROLLBACK):
        followed.extend(forge(roster.extend(other, find_key), ANNA, [added(DORA)]), find_key)


# --- The founding ---


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Kind.GROUP, ()),
        (Kind.GROUP, (added(BEA, Role.OWNER),)),
        (Kind.GROUP, (added(ANNA, Role.ADMIN),)),
        (Kind.GROUP, (added(ANNA, Role.OWNER), added(ANNA))),
        (Kind.DIRECT, (added(ANNA, Role.OWNER), added(BEA))),
        (Kind.DIRECT, (added(ANNA),)),
        (Kind.DIRECT, (added(ANNA), added(BEA), added(CARL))),
        (Kind.DIRECT, (added(ANNA), added(BEA, key=BEA.account_key))),
        (Kind.SELF, (added(ANNA, key=ANNA.account_key),)),
        (Kind.DIRECT, (added(ANNA), added(BEA, Role.MODERATOR))),
        (Kind.DIRECT, (added(ANNA), Named(bytes(32)))),
        (Kind.SELF, (added(ANNA), added(BEA))),
    ],
)
def test_foundings_that_are_none(kind: Kind, changes: tuple[Added, ...]) -> None:
    with refused():
        Roster.founding_entry(genesis_of(kind), changes, ANNA.key)


def test_founding_of_fixed_kinds() -> None:
    pair, alone = found(Kind.DIRECT, added(BEA)), found(Kind.SELF)
    assert set(pair.state.members) == {ANNA.account, BEA.account}
    assert set(alone.state.members) == {ANNA.account}
    for roster in (pair, alone):
        for change in (added(CARL), Removed(BEA.account), Named(bytes(32))):
            with pytest.raises(ParlourError):
                entry_of(roster, ANNA, change)


@pytest.mark.parametrize(
    "changes",
    [
        {"roster_id": bytes(16)},
        {"number": 1},
        {"previous": bytes(32)},
        {"signer_account": BEA.account},
        {"signer_account": BEA.account, "signer_device": BEA.device},
        {"at": NOW + 1},
        {"state_hash": bytes(32)},
    ],
)
def test_founding_that_is_not_of_this_genesis(changes: dict[str, object]) -> None:
    roster = found()
    signer = BEA if "signer_device" in changes else ANNA
    bad = replace(roster.head, **changes).sign(signer.key)  # type: ignore[arg-type]
    with refused():
        Roster.found(roster.genesis, bad, find_key)


def test_founding_needs_both_signatures() -> None:
    roster = found()
    with refused():
        Roster.found(roster.genesis, replace(roster.head, signature=bytes(64)), find_key)
    with refused():
        Roster.found(roster.genesis, roster.head, nobody_known)
    with refused():
        Roster.found(replace(roster.genesis, suite=2), roster.head, find_key)


# --- Joining in the middle ---


def test_newcomer_takes_state_and_head() -> None:
    roster = found(Kind.GROUP, added(BEA, Role.ADMIN))
    for later in (roster, step(roster, BEA, added(CARL))):
        for keys in (find_key, nobody_known):
            taken = Roster.of_state(
                Genesis.decode(later.genesis.encode()),
                later.state.encode(),
                later.head.encode(),
                keys,
            )
            assert taken == later
            assert step(taken, BEA, added(DORA)) == step(later, BEA, added(DORA))


def test_newcomer_refuses_what_does_not_belong_together() -> None:
    early = found(Kind.GROUP, added(BEA, Role.ADMIN))
    late = step(early, BEA, added(CARL))
    other = genesis_of(creator=BEA)
    forged = replace(late.head, signature=bytes(64))
    stranger = forge(early, DORA, [added(CARL)], late.state.hash())
    elsewhere = replace(late.head, roster_id=bytes(16))
    pair = genesis_of(Kind.DIRECT)
    ahead = replace(early.head, state_hash=late.state.hash())
    for genesis, state, head in (
        (late.genesis, early.state, late.head),
        (late.genesis, late.state, early.head),
        (late.genesis, late.state, forged),
        (late.genesis, late.state, stranger),
        (late.genesis, late.state, elsewhere),
        (late.genesis, late.state, ahead),
        (pair, late.state, late.head),
        (other, early.state, early.head),
        (replace(late.genesis, signature=bytes(64)), late.state, late.head),
        (replace(late.genesis, suite=0), late.state, late.head),
    ):
        with pytest.raises(SecurityStop) as caught:
            Roster.of_state(genesis, state.encode(), head.encode(), find_key)
        assert caught.value.code is Code.ROSTER_INVALID


def test_newcomer_refuses_a_founding_that_breaks_the_rules() -> None:
    roster = found(Kind.GROUP, added(BEA))
    state = replace(
        roster.state,
        members={**roster.state.members, CARL.account: roster.state.members[BEA.account]},
    )
    head = replace(roster.head, state_hash=state.hash())
    with refused():
        Roster.of_state(roster.genesis, state.encode(), head.encode(), nobody_known)


def test_entries_are_equal_when_their_bytes_are() -> None:
    head = found().head
    assert RosterEntry.decode(head.encode()) == head
    assert hash(RosterEntry.decode(head.encode())) == hash(head)
