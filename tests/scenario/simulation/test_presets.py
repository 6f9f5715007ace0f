"""Conversations of two, and of one's own devices, are on MLS in some runs."""

from collections import Counter

import pytest

from parlour.roster.genesis import Kind
from parlour.testing.simulation.chronicle import Chronicle
from parlour.testing.simulation.run import people_of, presets_of, run

SEEDS = range(60)
ON_MLS = 8


def kinds(monkeypatch: pytest.MonkeyPatch, seed: int, kind: str) -> Counter[Kind]:
    """How many conversations on MLS a run had."""
    chronicles: list[Chronicle] = []
    old = Chronicle.__init__

    def init(self: Chronicle) -> None:
        old(self)
        chronicles.append(self)

    monkeypatch.setattr(Chronicle, "__init__", init)
    assert not run(seed, kind, 200).problems
    (chronicle,) = chronicles
    return Counter(rosters[-1].kind for rosters in chronicle.rosters.values())


def test_runs_with_groups_have_people_who_prefer_mls() -> None:
    chosen = [presets_of(seed, "groups") for seed in SEEDS]
    assert {} in chosen
    assert {preset for each in chosen for preset in each.values()} == {
        "default",
        "default-mls",
        "famichat",
    }
    assert presets_of(ON_MLS, "groups").keys() == people_of(ON_MLS).keys()
    assert not any(presets_of(seed, "pairwise") for seed in SEEDS)


def test_two_people_and_one_s_own_devices_talk_on_mls(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kinds(monkeypatch, ON_MLS, "groups")
    assert found[Kind.DIRECT]
    assert found[Kind.SELF]


def test_pairwise_runs_stay_pairwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kinds(monkeypatch, ON_MLS, "pairwise")
