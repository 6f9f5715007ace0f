"""Devices that are killed between any two steps of linking and of removal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.entries import signed_once
from tests.integration.kill_runs import STRIDE, posix
from tests.integration.kill_runs import run_steps as run_script
from tests.town import Town

SCRIPT = Path(__file__).with_name("kill_linking.py")


async def run_steps(story: str, town: Town, folder: Path, first: int = 1) -> list[dict[str, Any]]:
    runs = await run_script(SCRIPT, story, town, folder, first)
    assert not runs[-1]["killed"]
    for run in runs:
        # What left before the kill may be in a server's hands, whatever it showed of it.
        assert signed_once(run["entries"]), run
    return runs


@posix
@pytest.mark.timeout(300)
async def test_a_new_device_killed_between_any_two_steps_goes_on_by_the_same_code(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps("new", town, tmp_path / "runs")
    assert len(runs) * STRIDE > 15
    for run in runs:
        check_linked(run)
        assert run["sessions"] == 2, run


@posix
@pytest.mark.timeout(300)
async def test_an_old_device_killed_between_any_two_steps_ends_with_the_new_one_linked(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps("old", town, tmp_path / "runs")
    assert len(runs) * STRIDE > 20
    for run in runs:
        check_linked(run)
        # The session in which the vault was opened stays, where the kill came between its two ends.
        assert run["sessions"] in (2, 3), run
    assert runs[-1]["sessions"] == 2
    # Before the greeting the same code serves; then a new one; with the device on the list, the
    # next program hands over what this one could not.
    assert {run["tries"] for run in runs} == {1, 2, 3}
    assert runs[-2]["tries"] == 2


def check_linked(run: dict[str, Any]) -> None:
    assert run["laptop"] == run["alice"] == ["hello"], run
    assert run["devices"] == [None, "laptop"], run
    assert run["notices"] == 0, run


@posix
@pytest.mark.timeout(300)
async def test_a_removal_killed_between_any_two_steps_is_made_once(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps("removal", town, tmp_path / "runs")
    assert len(runs) * STRIDE > 10
    for run in runs:
        assert run["laptop"] == ["device.removed"], run
        assert (run["alice"], run["devices"]) == (["hello"], [None]), run
        assert run["notices"] == 0, run
