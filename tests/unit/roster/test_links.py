"""Links: what they open, to whom, for how long."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from parlour.errors import AccessError, Code, LimitError, ParlourError, SecurityStop, UsageError
from parlour.roster import (
    JoinedByLink,
    Kind,
    LinkClosed,
    LinkOpened,
    Removed,
    Role,
    RoleSet,
    Roster,
    draft,
)
from parlour.roster.limits import MAX_ACCOUNTS, MAX_LINK_LIFETIME_MS
from parlour.roster.links import SCHEME, JoinLink, LinkSecret, verify_pass
from tests.rosters import (
    ANNA,
    BEA,
    CARL,
    DORA,
    EMIL,
    FAY,
    NOW,
    ROSTER_ID,
    STREAM,
    Person,
    added,
    entry_of,
    find_key,
    forge,
    found,
    leave,
    step,
)

LINK = JoinLink("chat.example:8443", bytes(32), STREAM, bytes(32), LinkSecret(b"s" * 16))
OTHER = JoinLink("chat.example:8443", None, STREAM, bytes(32), LinkSecret(b"t" * 16))
EXPIRES = NOW + 1_000
OPENED = LINK.opened(role=Role.MEMBER, uses=2, expires_at=EXPIRES)


def group(*, opened: LinkOpened = OPENED, by: Person = BEA) -> Roster:
    roster = found(Kind.GROUP, added(BEA, Role.ADMIN), added(CARL, Role.MODERATOR))
    return step(roster, by, opened)


def join(roster: Roster, person: Person, at: int = NOW, link: JoinLink = LINK) -> Roster:
    return step(roster, person, link.sign_join(ROSTER_ID, person.account, person.device), at=at)


def assert_closed(roster: Roster, person: Person, at: int = NOW) -> None:
    with pytest.raises(AccessError) as caught:
        join(roster, person, at)
    assert caught.value.code is Code.ROSTER_FORBIDDEN


# --- Coming in ---


def test_who_has_the_link_comes_in_until_it_is_used_up() -> None:
    roster = join(group(), DORA)
    assert roster.state.members[DORA.account].role is Role.MEMBER
    assert roster.state.members[DORA.account].since == 2
    assert roster.state.links[LINK.link_id].uses == 1
    roster = join(roster, EMIL)
    assert roster.state.links == {}
    assert_closed(roster, FAY)


def test_a_link_ends_with_its_time() -> None:
    roster = group()
    assert_closed(roster, DORA, at=EXPIRES)
    entry = entry_of(
        roster, DORA, LINK.sign_join(ROSTER_ID, DORA.account, DORA.device), at=EXPIRES - 1
    )
    assert DORA.account in roster.extend(entry, find_key).state.members
    assert DORA.account in roster.extend(entry, find_key, EXPIRES - 1).state.members
    # Who dates its entry back meets the server's clock.
    with pytest.raises(AccessError):
        roster.extend(entry, find_key, EXPIRES)


def test_a_member_does_not_come_in_again() -> None:
    with pytest.raises(SecurityStop):
        join(group(), CARL)


def test_a_join_is_for_one_account_and_device_of_one_roster() -> None:
    roster = group()
    good = LINK.sign_join(ROSTER_ID, DORA.account, DORA.device)
    for bad in (
        replace(good, account=EMIL.account),
        replace(good, device=EMIL.device),
        replace(good, account=EMIL.account, device=EMIL.device),
        replace(good, signature=bytes(64)),
        LINK.sign_join(bytes(16), DORA.account, DORA.device),
        replace(OTHER.sign_join(ROSTER_ID, DORA.account, DORA.device), link_id=LINK.link_id),
    ):
        for person in (DORA, EMIL):
            with pytest.raises(SecurityStop) as caught:
                step(roster, person, bad)
            assert caught.value.code is Code.ROSTER_INVALID


def test_who_comes_in_does_nothing_else() -> None:
    roster = group()
    join_dora = LINK.sign_join(ROSTER_ID, DORA.account, DORA.device)
    for changes in ((join_dora, added(EMIL)), (join_dora, join_dora), (leave(roster, CARL),)):
        with pytest.raises(ParlourError):
            roster.extend(forge(roster, DORA, changes), find_key)
    with pytest.raises(SecurityStop):
        entry_of(roster, BEA, added(EMIL), join_dora)
    entry = entry_of(roster, DORA, join_dora)
    with pytest.raises(SecurityStop):
        roster.extend(replace(entry, signer_account=EMIL.account), find_key)


def test_a_member_enters_nobodys_join() -> None:
    roster = group()
    with pytest.raises(SecurityStop):
        step(roster, BEA, LINK.sign_join(ROSTER_ID, DORA.account, DORA.device))


# --- Opening and closing ---


def test_who_may_opens_and_closes() -> None:
    roster = group()
    with pytest.raises(AccessError):
        entry_of(roster, CARL, LinkClosed(LINK.link_id))
    with pytest.raises(AccessError):
        entry_of(roster, CARL, OTHER.opened(role=Role.MEMBER, uses=1, expires_at=EXPIRES))
    roster = step(roster, ANNA, LinkClosed(LINK.link_id))
    assert_closed(roster, DORA)
    with pytest.raises(SecurityStop):
        entry_of(roster, ANNA, LinkClosed(LINK.link_id))


@pytest.mark.parametrize(
    "changes",
    [
        {"uses": 0},
        {"uses": MAX_ACCOUNTS + 1},
        {"expires_at": NOW},
        {"expires_at": NOW - 1},
        {"expires_at": NOW + MAX_LINK_LIFETIME_MS + 1},
        {"link_id": bytes(16)},
        {"public_key": bytes(32)},
        {"public_key": bytes(32), "link_id": draft.link_id_of(bytes(32))},
    ],
)
def test_a_link_has_bounds_and_a_key(changes: dict[str, object]) -> None:
    roster = found()
    with pytest.raises(SecurityStop):
        entry_of(roster, ANNA, replace(OPENED, **changes))  # type: ignore[arg-type]
    longest = replace(OPENED, uses=MAX_ACCOUNTS, expires_at=NOW + MAX_LINK_LIFETIME_MS)
    assert step(roster, ANNA, longest).state.links


def test_a_link_is_opened_once() -> None:
    with pytest.raises(SecurityStop):
        entry_of(group(), BEA, OPENED)


def test_a_link_makes_nobody_rule() -> None:
    roster = found()
    for role in (Role.ADMIN, Role.OWNER):
        with pytest.raises(AccessError):
            entry_of(roster, ANNA, replace(OPENED, role=role))
    roster = join(group(opened=replace(OPENED, role=Role.MODERATOR)), DORA)
    assert roster.state.members[DORA.account].role is Role.MODERATOR


def test_links_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MAX_LINKS", 1)
    with pytest.raises(LimitError):
        entry_of(group(), BEA, OTHER.opened(role=Role.MEMBER, uses=1, expires_at=EXPIRES))


def test_a_link_dies_with_the_right_of_who_opened_it() -> None:
    roster = group()
    assert step(roster, ANNA, Removed(BEA.account)).state.links == {}
    assert step(roster, CARL, leave(roster, BEA)).state.links == {}
    assert step(roster, ANNA, RoleSet(BEA.account, Role.MODERATOR)).state.links == {}
    promoted = step(roster, ANNA, RoleSet(BEA.account, Role.OWNER))
    assert promoted.state.links == roster.state.links


def test_a_link_that_has_expired_is_gone_with_the_next_entry() -> None:
    roster = group()
    assert step(roster, ANNA, added(DORA), at=EXPIRES - 1).state.links == roster.state.links
    assert step(roster, ANNA, added(DORA), at=EXPIRES).state.links == {}


# --- Who was put out ---


def test_who_was_put_out_does_not_come_back_by_a_link_it_may_know() -> None:
    roster = join(group(), DORA)
    roster = step(roster, CARL, Removed(DORA.account))
    assert roster.state.barred == {DORA.account}
    assert_closed(roster, DORA)
    again = step(roster, BEA, added(DORA))
    assert again.state.barred == frozenset()
    assert EMIL.account in join(roster, EMIL).state.members


def test_who_left_comes_back_by_the_link() -> None:
    roster = join(group(), DORA)
    roster = step(roster, CARL, leave(roster, DORA))
    assert DORA.account in join(roster, DORA).state.members


def test_nobody_is_barred_from_links_that_come_later() -> None:
    roster = join(group(), DORA)
    roster = step(roster, BEA, Removed(DORA.account), LinkClosed(LINK.link_id))
    assert roster.state.barred == frozenset()
    roster = step(roster, BEA, OTHER.opened(role=Role.MEMBER, uses=1, expires_at=EXPIRES))
    assert DORA.account in join(roster, DORA, link=OTHER).state.members


def test_when_too_many_are_barred_the_links_close(monkeypatch: pytest.MonkeyPatch) -> None:
    roster = join(join(group(opened=replace(OPENED, uses=9)), DORA), EMIL)
    monkeypatch.setattr(draft, "MAX_ACCOUNTS", 1)
    roster = step(roster, CARL, Removed(DORA.account))
    assert roster.state.links
    roster = step(roster, CARL, Removed(EMIL.account))
    assert (roster.state.links, roster.state.barred) == ({}, frozenset())


# --- The line of text ---


@pytest.mark.parametrize("link", [LINK, OTHER, JoinLink.create("a", None, STREAM, bytes(32))])
def test_text(link: JoinLink) -> None:
    text = link.to_text()
    assert text.startswith(SCHEME)
    assert JoinLink.from_text(f" {text[:20]}\n {text[20:]} ") == link
    assert "[secret]" in repr(link)


def spelled(data: bytes) -> str:
    return SCHEME + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


BODY = base64.urlsafe_b64decode(OTHER.to_text().removeprefix(SCHEME) + "==")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "parlour:invite#AAAA",
        SCHEME,
        SCHEME + "!",
        SCHEME + "é",
        LINK.to_text()[:-3],
        LINK.to_text() + "AAAA",
        SCHEME + "A" * 600,
        spelled(b"\x02" + BODY[1:]),
        spelled(b"\x01\x00" + BODY[2 + len(OTHER.server) :]),
        spelled(BODY.replace(b"chat", b"ch\x1bt")),
    ],
)
def test_text_that_is_no_link(text: str) -> None:
    with pytest.raises(UsageError):
        JoinLink.from_text(text)


def test_key_is_of_secret_and_place() -> None:
    keys = {
        link.key.public_key.to_bytes()
        for link in (
            LINK,
            OTHER,
            replace(LINK, server="other.example"),
            replace(LINK, stream=bytes(16)),
        )
    }
    assert len(keys) == 4
    assert replace(LINK, pin=None).link_id == LINK.link_id == OPENED.link_id


# --- Passes ---


def test_a_pass_is_for_one_device_and_one_stream() -> None:
    key = LINK.key.public_key.to_bytes()
    signature = LINK.sign_pass(DORA.account, DORA.device)
    verify_pass(key, STREAM, DORA.account, DORA.device, signature)
    joined = LINK.sign_join(STREAM, DORA.account, DORA.device)
    for bad in (
        (key, bytes(16), DORA.account, DORA.device, signature),
        (key, STREAM, EMIL.account, DORA.device, signature),
        (key, STREAM, DORA.account, EMIL.device, signature),
        (OTHER.key.public_key.to_bytes(), STREAM, DORA.account, DORA.device, signature),
        (key, STREAM, DORA.account, DORA.device, joined.signature),
    ):
        with pytest.raises(SecurityStop):
            verify_pass(*bad)


def test_join_is_a_change_like_others() -> None:
    assert isinstance(LINK.sign_join(ROSTER_ID, DORA.account, DORA.device), JoinedByLink)
