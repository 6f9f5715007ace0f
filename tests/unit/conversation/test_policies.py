"""Presets and policies: what is promised, what is refused, what people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.conversation.explaining import explain
from parlour.conversation.leaf_certificates import LINKED_LIFETIME, PRIMARY_LIFETIME
from parlour.conversation.policies import (
    FLOOR_SUITES,
    MAX_LEAVES,
    MAX_XWING_LEAVES,
    SUITE_1,
    XWING,
    XWING_256,
    Suite,
    check_floor,
    max_leaves,
    requires_encryption,
)
from parlour.conversation.presets import ABOUT, DEFAULT, PRESETS, built, policy_of
from parlour.errors import Code, LimitError, SecurityStop, UsageError
from parlour.identity.device_list_entry import MAX_DEVICES
from parlour.mls.public.suites import CipherSuiteId, find_suite
from parlour.roster import History, Kind, Mode, Retention
from parlour.roster.limits import MAX_ACCOUNTS
from parlour.wire.limits import MAX_PARTS, MAX_TREE
from tests.mls_people import group_of, refresh
from tests.rosters import genesis_of

EVERY = [(preset, kind) for preset in PRESETS for kind in Kind]
each = pytest.mark.parametrize(("preset", "kind"), EVERY)

# --- The table ---


def test_all_seven_presets_have_all_kinds() -> None:
    assert set(PRESETS) == set(ABOUT)
    assert set(PRESETS) == {
        "voicechat",
        "famichat",
        "relay-voice",
        "securecomm",
        "signal-level",
        "default",
        "default-mls",
    }
    assert all(set(policies) == set(Kind) for policies in PRESETS.values())


def test_the_default() -> None:
    suites = {kind: policy_of(DEFAULT, kind).suite for kind in Kind}
    pairwise = {Kind.DIRECT, Kind.SELF}
    assert {kind for kind in Kind if suites[kind] is Suite.DOUBLE_RATCHET} == pairwise
    assert {kind for kind in Kind if suites[kind] is Suite.MLS} == set(Kind) - pairwise
    assert {policy_of("default-mls", kind).suite for kind in Kind} == {Suite.MLS}
    assert policy_of("signal-level", Kind.GROUP).max_members == 1_500


@each
def test_policies_hold_together(preset: str, kind: Kind) -> None:
    policy = policy_of(preset, kind)
    assert requires_encryption(kind)
    assert policy.refuses_replays
    assert (policy.suite is Suite.MLS) is bool(policy.cipher_suites)
    assert (policy.retention is Retention.DAYS) is bool(policy.retention_days)
    assert 1 <= policy.max_members <= MAX_ACCOUNTS
    assert policy.max_pairwise_devices <= MAX_DEVICES
    assert {Kind.DIRECT: 2, Kind.SELF: 1}.get(kind, policy.max_members) == policy.max_members
    if policy.suite is Suite.MLS:
        assert policy.cipher_suites[0] == XWING
        assert set(policy.cipher_suites) <= FLOOR_SUITES
        # Whoever keeps to the rule to update is far from counting as away.
        assert 0 < 3 * policy.update_days < policy.idle_linked_days
        assert policy.idle_linked_days * 86_400 == LINKED_LIFETIME
        assert policy.idle_primary_days * 86_400 == PRIMARY_LIFETIME
        assert policy.update_messages > 0


@each
def test_what_is_not_built_is_refused_by_name(preset: str, kind: Kind) -> None:
    policy = policy_of(preset, kind)
    if not policy.missing:
        assert built(preset, kind) is policy
        return
    with pytest.raises(UsageError) as caught:
        built(preset, kind)
    assert caught.value.code is Code.POLICY_UNBUILT
    for name in (preset, kind.name.lower(), policy.missing):
        assert name in caught.value.detail


def test_what_is_missing() -> None:
    missing = {(preset, kind): policy_of(preset, kind).missing for preset, kind in EVERY}
    assert missing["voicechat", Kind.DIRECT] == "suite olm"
    assert missing["voicechat", Kind.GROUP] == "suite megolm"
    assert missing["relay-voice", Kind.CHANNEL] == "suite srtp"
    assert missing["securecomm", Kind.GROUP] == "an archive"
    assert missing["securecomm", Kind.DIRECT] == ""
    for preset in ("default", "default-mls", "signal-level", "famichat"):
        assert not any(missing[preset, kind] for kind in Kind)
    mixed = replace(policy_of("default", Kind.CHANNEL), mode=Mode.MIXED)
    assert mixed.missing == "mode mixed"


def test_unknown_preset() -> None:
    with pytest.raises(UsageError) as caught:
        policy_of("matrix", Kind.GROUP)
    assert "famichat" in caught.value.detail


# --- The choice of a suite ---


def test_xwing_when_all_devices_have_it() -> None:
    policy = policy_of("default", Kind.GROUP)
    assert policy.choose_suite({XWING, SUITE_1}, 3) == XWING
    assert policy.choose_suite([1], 3) == SUITE_1
    assert policy.choose_suite({XWING, SUITE_1}, MAX_XWING_LEAVES) == XWING
    assert policy.choose_suite({XWING, SUITE_1}, MAX_XWING_LEAVES + 1) == SUITE_1
    with pytest.raises(UsageError):
        policy.choose_suite({XWING}, MAX_XWING_LEAVES + 1)
    with pytest.raises(UsageError):
        policy.choose_suite({7}, 3)
    with pytest.raises(LimitError):
        policy.choose_suite({SUITE_1}, MAX_LEAVES + 1)


@pytest.mark.parametrize("suite", [SUITE_1, XWING])
def test_a_full_tree_fits_into_a_frame(suite: CipherSuiteId) -> None:
    # Names as long as certificates; every parent is filled once all have committed.
    people = group_of(*(f"{n:0148}" for n in range(8)), suite=find_suite(suite))
    for place in range(len(people)):
        refresh(people, place)
    per_leaf = len(people[0].group.tree()) / len(people)
    assert per_leaf * min(max_leaves(suite), 3_000) < MAX_TREE


def test_leaves_fit_into_an_entrys_parts() -> None:
    assert max_leaves(SUITE_1) == MAX_LEAVES <= MAX_PARTS
    assert max_leaves(XWING) == max_leaves(XWING_256) == MAX_XWING_LEAVES


# --- The floor ---


def test_floor() -> None:
    genesis = genesis_of()
    for suite in (SUITE_1, XWING, XWING_256):
        check_floor(replace(genesis, suite=int(suite)))
    for lower in (
        replace(genesis, suite=2),
        replace(genesis, suite=0xFFFF),
        replace(genesis, history=History.ALL),
        replace(genesis, history=History.SINCE_JOIN),
        replace(genesis, mode=Mode.TRUSTED),
        replace(genesis, mode=Mode.MIXED),
    ):
        with pytest.raises(SecurityStop) as caught:
            check_floor(lower)
        assert caught.value.code is Code.CONVERSATION_GENESIS


# --- In words ---


@each
def test_words_say_what_the_policy_says(preset: str, kind: Kind) -> None:
    policy, words = policy_of(preset, kind), explain(preset, kind)
    assert words["encryption"].startswith("always")
    assert words["deniable"].startswith("yes" if policy.suite.is_deniable else "no")
    assert policy.suite.title in words["suite"]
    assert ("not built" in words) is bool(policy.missing)
    assert policy.missing in words.get("not built", "")
    assert ("voice" in words) is (kind is Kind.CHANNEL)
    if policy.suite is Suite.SRTP:
        assert "server" in words["encryption"]
        assert "archive" not in words
        return
    assert "end to end" in words["encryption"]
    assert words["archive"].startswith("none") is (policy.history is History.NONE)
    if policy.retention is Retention.DAYS:
        assert f"{policy.retention_days} days" in words["kept"]
    if policy.update_days:
        assert f"{policy.update_days} days" in words["keys"]
    if policy.idle_linked_days:
        assert f"{policy.idle_linked_days} days" in words["away"]
    if kind in (Kind.GROUP, Kind.FAMILY, Kind.CHANNEL):
        assert f"{policy.max_members:,}" in words["members"]
        small = XWING in policy.cipher_suites and 2 * policy.max_members > MAX_XWING_LEAVES
        assert ("--suite mls" in words["members"]) is small


def test_deniability_is_told_apart() -> None:
    assert (
        explain("default", Kind.DIRECT)["deniable"]
        != explain("default-mls", Kind.DIRECT)["deniable"]
    )
