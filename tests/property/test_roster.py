"""Random rosters: everybody who follows the log agrees, and nothing that was changed is taken."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import group_link, leaf_certificate, roster_entry, roster_state
from parlour.errors import AccessError, ParlourError
from parlour.roster import (
    NO_KEY,
    Added,
    Change,
    ChannelClosed,
    ChannelKind,
    ChannelOpened,
    JoinedByLink,
    Kind,
    Left,
    LinkClosed,
    Named,
    Removed,
    Right,
    Role,
    RoleSet,
    Roster,
    RosterState,
    may,
)
from parlour.roster.carrying import carried_over
from parlour.roster.entry import RosterEntry
from parlour.roster.links import JoinLink, LinkSecret
from tests.rosters import (
    ANNA,
    BEA,
    CARL,
    DORA,
    NOW,
    PEOPLE,
    ROSTER_ID,
    STREAM,
    Person,
    added,
    entry_of,
    find_key,
    found,
    leave,
)

LINKS = tuple(
    JoinLink("chat.example", None, STREAM, bytes(32), LinkSecret(bytes((n,)) * 16)) for n in (1, 2)
)
BY_ACCOUNT = {person.account: person for person in PEOPLE}
SOMEBODY = st.sampled_from(PEOPLE)
ROLES = st.sampled_from(Role)
KINDS = st.sampled_from([Kind.GROUP, Kind.FAMILY, Kind.CHANNEL])
# A person's wish: what it would change, who is meant by it, which role or link.
WISHES = st.tuples(
    st.sampled_from(
        ["add", "remove", "role", "leave", "name", "open", "close", "join", "channel", "end"]
    ),
    SOMEBODY,
    ROLES,
    st.sampled_from(LINKS),
)
Wish: TypeAlias = tuple[str, Person, Role, JoinLink]
Walk: TypeAlias = list[tuple[Person, list[Wish]]]
WALKS = st.lists(st.tuples(SOMEBODY, st.lists(WISHES, min_size=1, max_size=3)), max_size=25)


def change_of(roster: Roster, wish: Wish) -> Change:
    name, person, role, link = wish
    match name:
        case "add":
            return added(person, role, person.account_key)
        case "remove":
            return Removed(person.account)
        case "role":
            return RoleSet(person.account, role)
        case "leave" if person.account in roster.state.members:
            return leave(roster, person)
        case "open":
            return link.opened(role=role, uses=int(role), expires_at=NOW + 500)
        case "close":
            return LinkClosed(link.link_id)
        case "join":
            return link.sign_join(ROSTER_ID, person.account, person.device, person.account_key)
        case "channel":
            return ChannelOpened(person.account, ChannelKind.TEXT, role)
        case "end":
            return ChannelClosed(person.account)
        case _:
            return Named(person.account * 2)


def walk(kind: Kind, steps: Walk) -> list[Roster]:
    """The roster after each entry that was allowed."""
    rosters = [found(kind, added(BEA, Role.ADMIN), added(CARL, Role.MODERATOR), added(DORA))]
    for at, (person, wishes) in enumerate(steps):
        roster = rosters[-1]
        changes = [change_of(roster, wish) for wish in wishes]
        if person.account not in roster.state.members and wishes[0][0] != "join":
            person = BY_ACCOUNT[roster.state.first]  # noqa: PLW2901 - somebody who may act
        try:
            entry = entry_of(roster, person, *changes, at=NOW + at)
        except ParlourError:
            continue
        rosters.append(roster.extend(entry, find_key))
    return rosters


@given(kind=KINDS, steps=WALKS)
@settings(deadline=None)
def test_extended_replayed_and_taken_up_in_the_middle_are_one(kind: Kind, steps: Walk) -> None:
    rosters = walk(kind, steps)
    heads = [RosterEntry.decode(roster.head.encode()) for roster in rosters]
    replayed = Roster.found(rosters[0].genesis, heads[0], find_key)
    for (before, after), head in zip(pairwise(rosters), heads[1:], strict=True):
        replayed = replayed.extend(head, find_key)
        assert replayed == after
        assert head.previous == before.head_hash
        assert RosterState.decode(after.state.encode()) == after.state
        taken = Roster.of_state(after.genesis, after.state.encode(), after.head.encode(), find_key)
        assert taken == after
        check_state(after.state, after.number)


def check_state(state: RosterState, number: int) -> None:
    """What is true of every state that entries led to."""
    assert state.members
    assert all(member.since <= number for member in state.members.values())
    first = state.ordered()[0]
    # As it was carried along, and as it is found by looking.
    assert state.first == RosterState.decode(state.encode()).first == first
    assert state.effective_role(first) is Role.OWNER
    for link in state.links.values():
        assert state.may(link.opened_by, Right.LINK)
        assert link.uses > 0
    assert state.links or not state.barred
    assert not state.barred & set(state.members)


@given(kind=KINDS, steps=WALKS)
@settings(deadline=None)
def test_nobody_gets_more_than_its_role_allows(kind: Kind, steps: Walk) -> None:
    rosters = walk(kind, steps)
    for before, after in pairwise(rosters):
        signer = after.head.signer_account
        old, new = before.state, after.state
        if isinstance(after.head.changes[0], JoinedByLink):
            assert set(new.members) - set(old.members) == {signer}
            continue
        role = old.effective_role(signer)
        assert role is not None
        told = {change.account for change in after.head.changes if isinstance(change, Left)}
        for account in set(old.members) | set(new.members):
            was, now = old.members.get(account), new.members.get(account)
            if was == now or account in told:
                continue
            right = Right.ADD if was is None else Right.REMOVE if now is None else Right.SET_ROLE
            if was and now and was.since != now.since:
                right = Right.REMOVE
            # Leaves of others may have made the signer the first in order meanwhile.
            acting = Role.OWNER if told and new.first == signer else role
            assert may(kind, acting, right)
            assert was is None or (old.effective_role(account) or 0) <= acting
            assert now is None or now.role <= acting


@given(kind=KINDS, steps=WALKS)
@settings(deadline=None)
def test_everybody_is_in_under_the_key_that_brought_them(kind: Kind, steps: Walk) -> None:
    rosters = walk(kind, steps)
    for roster in rosters:
        for account, member in roster.state.members.items():
            brought = [
                change.key
                for change in rosters[member.since].head.changes
                if isinstance(change, Added | JoinedByLink) and change.account == account
            ]
            assert member.key in brought
            assert roster.state.admits(account, member.key) == (member.key != NO_KEY)
            assert not roster.state.admits(account, bytes(31) + b"\x01")
    for before, after in pairwise(rosters):
        came, went = after.state.differing(before.state), before.state.differing(after.state)
        assert came - went == after.state.members.keys() - before.state.members.keys()
        assert went - came == before.state.members.keys() - after.state.members.keys()


@given(kind=KINDS, steps=WALKS, place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(deadline=None)
def test_a_changed_entry_is_never_taken(
    kind: Kind,
    steps: Walk,
    place: int,
    bit: int,
) -> None:
    rosters = walk(kind, steps)
    roster = rosters[-1]
    entry = entry_of(roster, ANNA, Named(b"n" * 32)) if _acts(roster) else roster.head
    before = rosters[-2] if entry is roster.head and len(rosters) > 1 else roster
    data = bytearray(entry.encode())
    data[place % len(data)] ^= 1 << bit
    state = before.state.encode()
    with pytest.raises(ParlourError):
        before.extend(RosterEntry.decode(bytes(data)), find_key)
    assert before.state.encode() == state


def _acts(roster: Roster) -> bool:
    return roster.state.may(ANNA.account, Right.RENAME)


@given(
    kind=KINDS,
    signer=SOMEBODY,
    roles=st.lists(st.tuples(SOMEBODY, ROLES), max_size=5, unique_by=lambda item: item[0].name),
    wish=WISHES,
)
@settings(deadline=None)
def test_a_forged_state_hash_helps_nobody(
    kind: Kind,
    signer: Person,
    roles: list[tuple[Person, Role]],
    wish: Wish,
) -> None:
    """Whatever `next_entry` refuses, `extend` refuses, whatever the entry says it leads to."""
    others = [Added(person.account, role) for person, role in roles if person is not ANNA]
    roster = found(kind, *others)
    change = change_of(roster, wish)
    entry = RosterEntry(
        roster_id=ROSTER_ID,
        number=1,
        previous=roster.head_hash,
        changes=(change,),
        state_hash=roster.state.hash(),
        signer_account=signer.account,
        signer_device=signer.device,
        at=NOW,
    ).sign(signer.key)
    try:
        good: RosterEntry | ParlourError = entry_of(roster, signer, change)
    except ParlourError as error:
        good = error
    with pytest.raises(ParlourError) as caught:
        roster.extend(entry, find_key)
    if isinstance(good, ParlourError):
        assert caught.value.code is good.code
    else:
        assert roster.extend(good, find_key).state.hash() == good.state_hash


@pytest.mark.parametrize("module", [group_link, leaf_certificate, roster_entry, roster_state])
@given(data=st.data())
def test_damaged_bytes_are_a_value_or_a_refusal(module: ModuleType, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(module.SEEDS)))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), max_size=3)
    ):
        seed[place] = value
    module.target(bytes(seed))


@given(kind=KINDS, here=WALKS, there=WALKS)
@settings(deadline=None)
def test_on_a_branch_nobody_has_more_than_by_the_roster_that_is_known(
    kind: Kind, here: Walk, there: Walk
) -> None:
    known, shown = walk(kind, here)[-1].state, walk(kind, there)[-1]
    changes = carried_over(known, shown.state)
    maker = BY_ACCOUNT[shown.state.first]
    if maker.account not in known.members or not changes:
        return
    try:
        entry = entry_of(shown, maker, *changes, at=NOW + 1_000)
    except AccessError:
        # Who has a lower role than others can't carry over what concerns them.
        return
    after = shown.extend(entry, find_key).state
    assert after.members.keys() == known.members.keys() & shown.state.members.keys()
    for account, member in after.members.items():
        assert member.role == min(known.members[account].role, shown.state.members[account].role)
    assert not after.links
    for channel, each in after.channels.items():
        assert each.min_role >= known.channels[channel].min_role
    assert after.name_commitment in (known.name_commitment, shown.state.name_commitment)
