"""A device of a group that is killed between any two steps of a commit, a merge and a join."""

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
    runs = await run_steps(SCRIPT, story, town, folder, first, STRIDE)
    assert not runs[-1]["killed"]
    for run in runs:
        assert len({tuple(epoch) for epoch in run["epochs"]}) == 1, run
        assert all(len(members) == 3 for members in run["members"]), run
        assert run["members"][0] == run["members"][1] == run["members"][2], run
        assert run["encrypted"] == run["different"] > 0, run
        for texts in run["texts"].values():
            assert len(texts) == len(set(texts)), run
    return runs


@posix
@pytest.mark.timeout(400)
async def test_a_device_killed_between_any_two_steps_of_a_commit(
    town: Town, tmp_path: Path
) -> None:
    runs = await runs_of("commit", town, tmp_path / "runs", 2)
    assert len(runs) * STRIDE > 20
    for run in runs:
        assert run["texts"]["alice"] == run["texts"]["bob"], run
    assert "welcome" in runs[-1]["texts"]["carol"]


@posix
@pytest.mark.timeout(400)
async def test_a_device_killed_between_any_two_steps_of_a_merge(town: Town, tmp_path: Path) -> None:
    runs = await runs_of("merge", town, tmp_path / "runs", 3)
    assert len(runs) * STRIDE > 15
    for run in runs:
        # What was said while Bob was killed is there, in the order of the others.
        assert run["texts"]["alice"] == run["texts"]["bob"] == run["texts"]["carol"], run
        assert run["texts"]["bob"][0] == "welcome", run


@posix
@pytest.mark.timeout(400)
async def test_a_device_killed_between_any_two_steps_of_a_join(town: Town, tmp_path: Path) -> None:
    runs = await runs_of("join", town, tmp_path / "runs", int(os.environ.get("FIRST", "4")))
    assert len(runs) * STRIDE > 15
    for run in runs:
        assert run["texts"]["alice"] == run["texts"]["bob"], run
    assert "here I am" in runs[-1]["texts"]["alice"]
