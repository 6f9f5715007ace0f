"""What each change needs: rights, roles, statements, bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import AccessError, Code, LimitError, ParlourError, SecurityStop
from parlour.roster import (
    NO_KEY,
    Added,
    Change,
    Channel,
    ChannelClosed,
    ChannelKind,
    ChannelOpened,
    Kind,
    Left,
    Member,
    Named,
    Removed,
    Right,
    Role,
    RoleSet,
    Roster,
    draft,
)
from parlour.roster.device_signature import nobody_known
from parlour.roster.roles import RIGHTS, TABLE, may
from tests.rosters import (
    ANNA,
    BEA,
    CARL,
    DORA,
    EMIL,
    FAY,
    Person,
    added,
    entry_of,
    find_key,
    found,
    leave,
    step,
)

# One of each rank; Emil is a second admin, Fay is a stranger.
RANKS = {ANNA: Role.OWNER, BEA: Role.ADMIN, CARL: Role.MODERATOR, DORA: Role.MEMBER}
CHANNEL = b"c" * 16


def group(kind: Kind = Kind.GROUP) -> Roster:
    return found(
        kind,
        added(BEA, Role.ADMIN),
        added(CARL, Role.MODERATOR),
        added(DORA),
        added(EMIL, Role.ADMIN),
    )


def assert_refused(
    roster: Roster, person: Person, *changes: Change, code: Code = Code.ROSTER_INVALID
) -> None:
    with pytest.raises(ParlourError) as caught:
        entry_of(roster, person, *changes)
    assert caught.value.code is code


def assert_forbidden(roster: Roster, person: Person, *changes: Change) -> None:
    assert_refused(roster, person, *changes, code=Code.ROSTER_FORBIDDEN)


# --- The table ---

ATTEMPTS: dict[Right, Change] = {
    Right.ADD: added(FAY),
    Right.REMOVE: Removed(DORA.account),
    Right.SET_ROLE: RoleSet(DORA.account, Role.MODERATOR),
    Right.RENAME: Named(bytes(32)),
    Right.CHANNELS: ChannelOpened(CHANNEL, ChannelKind.TEXT, Role.MEMBER),
}


@pytest.mark.parametrize("kind", [Kind.GROUP, Kind.FAMILY, Kind.CHANNEL])
@pytest.mark.parametrize("right", ATTEMPTS)
@pytest.mark.parametrize("person", [ANNA, BEA, CARL])
def test_the_table_decides(kind: Kind, right: Right, person: Person) -> None:
    roster = group(kind)
    allowed = may(kind, RANKS[person], right)
    assert roster.state.may(person.account, right) is allowed
    if allowed:
        assert step(roster, person, ATTEMPTS[right]).number == 1
    else:
        assert_forbidden(roster, person, ATTEMPTS[right])


def test_a_member_may_what_everybody_may() -> None:
    family = group(Kind.FAMILY)
    assert step(family, DORA, added(FAY), Named(bytes(32))).number == 1
    assert_forbidden(group(), DORA, added(FAY))
    assert_forbidden(family, DORA, Removed(EMIL.account))


def test_a_stranger_may_nothing() -> None:
    for change in (*ATTEMPTS.values(), added(FAY)):
        with pytest.raises(AccessError):
            entry_of(group(Kind.CHANNEL), FAY, change)
    assert not any(group().state.may(FAY.account, right) for right in Right)


def test_each_pair_stands_once_in_the_table_with_a_reason() -> None:
    assert len({(kind, right) for kind, right, _, _ in TABLE}) == len(TABLE)
    assert all(reason for *_, reason in TABLE)
    assert set(RIGHTS) == set(Kind)
    for kind in (Kind.GROUP, Kind.FAMILY, Kind.CHANNEL):
        assert set(RIGHTS[kind]) | {Right.CHANNELS} == set(Right)
    for kind in (Kind.DIRECT, Kind.SELF):
        assert set(RIGHTS[kind]) == {Right.RESTART}


# --- Roles bound each other ---


def test_nobody_reaches_above_the_own_role() -> None:
    roster = group()
    assert_forbidden(roster, BEA, Removed(ANNA.account))
    assert_forbidden(roster, CARL, Removed(BEA.account))
    assert_forbidden(roster, BEA, RoleSet(ANNA.account, Role.MEMBER))
    assert_forbidden(roster, BEA, RoleSet(DORA.account, Role.OWNER))
    assert_forbidden(roster, BEA, RoleSet(BEA.account, Role.OWNER))
    assert_forbidden(roster, BEA, added(FAY, Role.OWNER))
    assert_forbidden(group(Kind.FAMILY), DORA, added(FAY, Role.MODERATOR))


def test_equals_reach_each_other() -> None:
    roster = group()
    assert BEA.account not in step(roster, EMIL, Removed(BEA.account)).state.members
    lowered = step(roster, EMIL, RoleSet(BEA.account, Role.MEMBER))
    assert lowered.state.members[BEA.account] == Member(Role.MEMBER, 0)


def test_questions_are_answered_like_entries_are() -> None:
    roster = group()
    state = roster.state
    for one in (*RANKS, FAY):
        for other in (*RANKS, EMIL, FAY):
            if one is other:
                continue
            try:
                step(roster, one, Removed(other.account))
            except ParlourError:
                assert not state.may_remove(one.account, other.account)
            else:
                assert state.may_remove(one.account, other.account)
            for role in Role:
                present = state.members.get(other.account)
                if present and present.role is role:
                    continue
                try:
                    step(roster, one, RoleSet(other.account, role))
                except ParlourError:
                    assert not state.may_set_role(one.account, other.account, role)
                else:
                    assert state.may_set_role(one.account, other.account, role)


def test_who_lowers_itself_does_not_go_on_with_the_old_role() -> None:
    roster = group()
    assert_forbidden(roster, BEA, RoleSet(BEA.account, Role.MEMBER), added(FAY))
    entry = entry_of(roster, BEA, added(FAY), RoleSet(BEA.account, Role.MEMBER))
    assert roster.extend(entry, find_key).state.members[BEA.account].role is Role.MEMBER


def test_there_is_always_an_owner() -> None:
    roster = group()
    roster = step(roster, BEA, leave(roster, ANNA))
    heir = roster.state.first
    assert heir == min(BEA.account, EMIL.account)
    heir_person = BEA if heir == BEA.account else EMIL
    other = EMIL if heir_person is BEA else BEA
    assert roster.state.effective_role(heir) is Role.OWNER
    assert roster.state.effective_role(other.account) is Role.ADMIN
    assert_forbidden(roster, other, Removed(heir))
    assert_forbidden(roster, other, RoleSet(heir, Role.MEMBER))
    assert_forbidden(roster, other, RoleSet(DORA.account, Role.OWNER))
    crowned = step(roster, heir_person, RoleSet(DORA.account, Role.OWNER))
    assert crowned.state.first == DORA.account
    assert crowned.state.effective_role(heir) is Role.ADMIN


def test_last_owner_who_steps_down_is_followed_by_the_first_in_order() -> None:
    roster = step(group(), ANNA, RoleSet(ANNA.account, Role.MEMBER))
    assert roster.state.first == min(BEA.account, EMIL.account)
    assert roster.state.effective_role(ANNA.account) is Role.MEMBER
    assert roster.state.ordered()[0] == roster.state.first


def test_order_is_role_then_time_then_id() -> None:
    roster = group()
    roster = step(roster, ANNA, added(FAY, Role.ADMIN))
    early = sorted([BEA.account, EMIL.account])
    assert roster.state.ordered() == [
        ANNA.account,
        *early,
        FAY.account,
        CARL.account,
        DORA.account,
    ]


def test_the_first_is_found_again_and_again_in_one_entry() -> None:
    roster = found(Kind.GROUP, *(added(person, Role.OWNER) for person in (BEA, CARL, DORA, EMIL)))
    *others, last = sorted((ANNA, BEA, CARL, DORA, EMIL), key=lambda person: person.account)
    lowered = step(roster, last, *(RoleSet(each.account, Role.MEMBER) for each in others))
    assert lowered.state.first == last.account
    removed = step(roster, last, *(Removed(each.account) for each in others))
    assert removed.state.ordered() == [last.account]
    one, two, three, four = (each.account for each in others)
    mixed = step(
        roster,
        last,
        Removed(one),
        RoleSet(two, Role.MEMBER),
        added(FAY, Role.OWNER),
        RoleSet(two, Role.ADMIN),
        Removed(three),
        RoleSet(two, Role.OWNER),
        RoleSet(four, Role.ADMIN),
    )
    assert mixed.state.first == two
    assert mixed.state.ordered() == [two, last.account, FAY.account, four]


# --- Changes that change nothing ---


def test_changes_of_what_is_not_there() -> None:
    roster = group(Kind.CHANNEL)
    for change in (
        added(BEA),
        Removed(FAY.account),
        Removed(ANNA.account),
        RoleSet(FAY.account, Role.MEMBER),
        RoleSet(BEA.account, Role.ADMIN),
        ChannelClosed(CHANNEL),
        ChannelOpened(roster.state.stream, ChannelKind.TEXT, Role.MEMBER),
    ):
        assert_refused(roster, ANNA, change)


# --- Leaving ---


def test_anybody_who_stays_enters_a_leave() -> None:
    roster = group()
    assert CARL.account not in step(roster, DORA, leave(roster, CARL)).state.members
    assert_refused(roster, CARL, leave(roster, CARL))
    assert_forbidden(roster, FAY, leave(roster, CARL))
    assert_refused(roster, DORA, Left(FAY.account, FAY.device, bytes(64)))


def test_a_leave_is_the_leavers_own() -> None:
    roster = group()
    good = leave(roster, CARL)
    for bad in (
        replace(good, signature=bytes(64)),
        replace(good, account=BEA.account),
        replace(good, device=BEA.device),
        Left(CARL.account, DORA.device, leave(roster, DORA).signature),
    ):
        assert_refused(roster, DORA, bad)
    with pytest.raises(SecurityStop):
        roster.next_entry([good], DORA.account, DORA.device, DORA.key, 0)
    entry = entry_of(roster, DORA, good)
    with pytest.raises(SecurityStop):
        roster.extend(entry, lambda *who: None if who[0] == CARL.account else find_key(*who))


def test_a_leave_is_of_one_membership() -> None:
    roster = group()
    statement = leave(roster, CARL)
    roster = step(roster, ANNA, statement)
    roster = step(roster, ANNA, added(CARL))
    assert_refused(roster, DORA, statement)
    assert CARL.account not in step(roster, DORA, leave(roster, CARL)).state.members


def test_nobody_leaves_a_pair() -> None:
    pair = found(Kind.DIRECT, added(BEA))
    assert_forbidden(pair, ANNA, leave(pair, BEA))


# --- Channels ---


def test_channels_are_read_by_role() -> None:
    roster = step(
        group(Kind.CHANNEL),
        ANNA,
        ChannelOpened(CHANNEL, ChannelKind.VOICE, Role.MODERATOR),
    )
    state = roster.state
    assert state.channels == {CHANNEL: Channel(ChannelKind.VOICE, Role.MODERATOR)}
    assert [state.may_read(each.account, CHANNEL) for each in (ANNA, CARL, DORA, FAY)] == [
        True,
        True,
        False,
        False,
    ]
    assert state.may_read(DORA.account, state.stream)
    assert not state.may_read(FAY.account, state.stream)
    assert not state.may_read(ANNA.account, b"x" * 16)
    lower = step(roster, BEA, ChannelOpened(CHANNEL, ChannelKind.VOICE, Role.MEMBER))
    assert lower.state.may_read(DORA.account, CHANNEL)
    assert step(lower, BEA, ChannelClosed(CHANNEL)).state.channels == {}
    assert_refused(roster, ANNA, ChannelOpened(CHANNEL, ChannelKind.TEXT, Role.MEMBER))


def test_a_channel_above_the_own_role_is_out_of_reach() -> None:
    roster = step(group(Kind.CHANNEL), ANNA, ChannelOpened(CHANNEL, ChannelKind.TEXT, Role.OWNER))
    assert_forbidden(roster, BEA, ChannelOpened(CHANNEL, ChannelKind.TEXT, Role.ADMIN))
    assert_forbidden(roster, BEA, ChannelClosed(CHANNEL))
    assert_forbidden(roster, BEA, ChannelOpened(b"d" * 16, ChannelKind.TEXT, Role.OWNER))


# --- Bounds ---


def test_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MAX_ACCOUNTS", 5)
    with pytest.raises(LimitError):
        entry_of(group(), ANNA, added(FAY))


def test_channels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MAX_CHANNELS", 1)
    opened = ChannelOpened(CHANNEL, ChannelKind.TEXT, Role.MEMBER)
    roster = step(group(Kind.CHANNEL), ANNA, opened)
    with pytest.raises(LimitError):
        entry_of(roster, ANNA, ChannelOpened(b"d" * 16, ChannelKind.TEXT, Role.MEMBER))
    changed = step(roster, ANNA, replace(opened, min_role=Role.ADMIN))
    assert changed.state.channels[CHANNEL].min_role is Role.ADMIN


def test_what_is_refused_leaves_the_roster_as_it_was() -> None:
    roster = group()
    before = (roster.state.encode(), dict(roster.state.members), roster.state.first)
    for changes in (
        (added(FAY), Removed(ANNA.account)),
        (Removed(DORA.account), Added(DORA.account, Role.OWNER), added(CARL)),
        (RoleSet(BEA.account, Role.MEMBER), Removed(FAY.account)),
    ):
        with pytest.raises(ParlourError):
            entry_of(roster, ANNA, *changes)
    assert (roster.state.encode(), dict(roster.state.members), roster.state.first) == before
    assert nobody_known(ANNA.account, ANNA.device) is None


# --- Account keys ---


def test_an_account_stays_under_the_key_it_came_in_under() -> None:
    roster = step(found(), ANNA, added(BEA, key=BEA.account_key))
    later = step(roster, ANNA, RoleSet(BEA.account, Role.ADMIN), Named(bytes(32)))
    for state in (roster.state, later.state):
        assert state.members[BEA.account].key == BEA.account_key
        assert state.admits(BEA.account, BEA.account_key)
        assert not state.admits(BEA.account, FAY.account_key)
        assert not state.admits(BEA.account, None)
        assert not state.admits(FAY.account, FAY.account_key)
    again = step(later, ANNA, Removed(BEA.account), added(BEA, key=FAY.account_key))
    assert again.state.members[BEA.account] == Member(Role.MEMBER, 3, FAY.account_key)
    assert not again.state.admits(BEA.account, BEA.account_key)
    # Who was asked in again has gone, and has come.
    assert again.state.differing(later.state) == {BEA.account}
    assert later.state.differing(again.state) == {BEA.account}
    assert later.state.differing(roster.state) == set()
    assert later.state.differing(found().state) == {BEA.account}


def test_another_key_is_another_state() -> None:
    one, other = (step(found(), ANNA, added(BEA, key=each.account_key)) for each in (BEA, FAY))
    assert one.state.hash() != other.state.hash()
    forged = replace(one.head, changes=(added(BEA, key=FAY.account_key),)).sign(ANNA.key)
    with pytest.raises(SecurityStop):
        found().extend(forged, find_key)


def test_without_a_key_nobody_comes_in() -> None:
    state = step(found(), ANNA, added(BEA)).state
    assert not state.admits(BEA.account, NO_KEY)
    assert not state.admits(BEA.account, BEA.account_key)


def test_in_conversations_of_fixed_kinds_people_decide_about_keys() -> None:
    state = found(Kind.DIRECT, added(BEA)).state
    assert state.admits(BEA.account, BEA.account_key)
    assert state.admits(BEA.account, FAY.account_key)
    assert not state.admits(FAY.account, FAY.account_key)
