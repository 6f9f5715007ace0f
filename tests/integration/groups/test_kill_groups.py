"""A device of a group that is killed between any two steps of a commit, a merge and a join.

What it was told to do, and returned from, is not told to it again: whatever was lost of that is
missing at the end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kill_runs import posix, run_steps
from tests.town import Town

SCRIPT = Path(__file__).with_name("kill_groups.py")
# All steps, when somebody has the time.
STRIDE = int(os.environ.get("PARLOUR_KILL_STRIDE", "9"))
# Seconds for one story: a run takes four, twice that on a busy machine.
PATIENCE = 400 * max(1, 9 // STRIDE)
# What is wished, and not said.
WISHES = {"add", "join"}


async def runs_of(story: str, town: Town, folder: Path, first: int) -> list[dict[str, Any]]:
    async with (
        town.serving(),
        town.open("alice") as alice,
        town.open("bob") as bob,
        town.open("carol") as carol,
    ):
        for client in (alice, bob, carol):
            await client.ready()
        group = await alice.groups.create("trip", ["bob"])
        link = await alice.groups.open_link("trip")
        await bob.caught_up()
    (town.folder / "group").write_text(group.id.hex())
    (town.folder / "link").write_text(link.to_text())
    runs = await run_steps(SCRIPT, story, town, folder, min(first, STRIDE), STRIDE)
    assert not runs[-1]["killed"]
    for run in runs:
        assert len({tuple(epoch) for epoch in run["epochs"]}) == 1, run
        assert all(len(members) == 3 for members in run["members"]), run
        assert run["members"][0] == run["members"][1] == run["members"][2], run
        assert run["encrypted"] == run["different"] > 0, run
        for name, texts in run["texts"].items():
            assert len(texts) == len(set(texts)), run
            assert set(run["returned"]) - WISHES <= set(texts), (name, run)
        assert run["texts"]["alice"] == run["texts"]["bob"], run
    print(f"{story}: {len(runs)} runs, the last one at step {runs[-1]['step']}")
    return runs


@posix
@pytest.mark.timeout(PATIENCE)
async def test_a_device_killed_between_any_two_steps_of_a_commit(
    town: Town, tmp_path: Path
) -> None:
    runs = await runs_of("commit", town, tmp_path / "runs", 2)
    assert len(runs) * STRIDE > 40
    assert runs[-1]["returned"] == ["add", "welcome"]
    # Some died with the wish on disk and nothing done about it, or before they had made it.
    assert {tuple(run["returned"]) for run in runs} >= {(), ("add",)}
    for run in runs:
        assert run["texts"]["carol"] == run["texts"]["alice"], run


@posix
@pytest.mark.timeout(PATIENCE)
async def test_a_device_killed_between_any_two_steps_of_a_merge(town: Town, tmp_path: Path) -> None:
    runs = await runs_of("merge", town, tmp_path / "runs", 3)
    assert len(runs) * STRIDE > 15
    for run in runs:
        # What was said while Bob was killed is there, in the order of the others.
        assert run["texts"]["alice"] == run["texts"]["carol"], run
        assert run["texts"]["bob"][0] == "welcome", run
    assert runs[-1]["returned"] == ["thanks"]


@posix
@pytest.mark.timeout(PATIENCE)
async def test_a_device_killed_between_any_two_steps_of_a_join(town: Town, tmp_path: Path) -> None:
    runs = await runs_of("join", town, tmp_path / "runs", 4)
    assert len(runs) * STRIDE > 15
    assert runs[-1]["returned"] == ["join", "here I am"]
