"""How far long work on a group is: what a person at a terminal sees, and that programs see none."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from parlour.client.client import Client
from tests.integration.running import COMMAND, PASSWORD, People, ServerProcess, environment
from tests.integration.terminals import Terminal
from tests.town import cheap_homes, quick_passwords

CROWD: Final = [f"guest{number}" for number in range(24)]
# What stands before a bar. What is over in a moment may not be seen.
WORK: Final = ("Looking people up", "Devices in the group")
CLEARED: Final = "\x1b[2K"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("progress")
    with ServerProcess(folder / "server") as server:
        made = People(folder)
        asyncio.run(register(made, server.invite(uses=len(CROWD) + 1)))
        yield made


async def register(people: People, invite: str) -> None:
    """Alice, and a crowd that has been online once."""
    with cheap_homes(), quick_passwords():
        for name in ("alice", *CROWD):
            await Client.register(people.folder / name, invite, name, PASSWORD)
    for name in CROWD:
        async with Client.open(people.folder / name, PASSWORD) as client:
            assert await client.ready()


def on_terminal(people: People, *arguments: str) -> Terminal:
    return Terminal(
        [*COMMAND, *arguments],
        environment=people.environment("alice"),
        folder=str(people.folder),
    )


def test_a_person_sees_how_far_it_is_and_then_what_came_of_it(people: People) -> None:
    with on_terminal(people, "group", "create", "crowd", *CROWD[:20]) as terminal:
        assert terminal.end() == 0
    for work, total in zip(WORK, (20, 21), strict=True):
        counted = re.findall(rf"{work} +[━╸╺]+ +(\d+)/(\d+)", terminal.text)
        assert {each for _, each in counted} == {str(total)}, "each is counted from the beginning"
        assert len(set(counted)) > 1, "and more than once"
        assert counted[-1] == (str(total), str(total))
    shown, _, left = terminal.raw.rpartition(CLEARED)
    assert "#crowd" in left
    assert not any(work in left for work in WORK), "nothing of it stays on the screen"
    assert "#crowd" not in shown
    with on_terminal(people, "group", "add", "crowd", *CROWD[20:]) as terminal:
        assert terminal.end() == 0
    assert re.search(r"Devices in the group +[━╸╺]+ +25/25", terminal.text)


def test_programs_see_nothing_of_it(people: People) -> None:
    with on_terminal(people, "group", "create", "for programs", *CROWD, "--json") as terminal:
        assert terminal.end() == 0
    (made,) = map(json.loads, terminal.raw.splitlines())
    assert made["devices"] == len(CROWD) + 1
    for more in ([], ["--json"]):
        done = people.run("alice", "group", "create", "into a file", *CROWD, *more)
        assert done.returncode == 0
        assert done.stderr == ("" if more else "Talk there: parlour chat '#into a file'\n")
        assert not any(work in done.stdout or "\x1b" in done.stdout for work in WORK)


# Goes on when a key is pressed.
STEPS: Final = """
from parlour.cli.group.progress import progress
from parlour.cli.output import Output
from parlour.client.group_waiting import Step

with progress(Output()) as show:
    for step in (("people", 1), ("people", 2), ("device lists", 1), ("some work of tomorrow", 3)):
        show(Step(*step, 3))
        input()
print("done")
"""


def test_bars_grow_while_somebody_looks(tmp_path: Path) -> None:
    shown = (
        "Looking people up .*1/3",
        "Looking people up .*2/3",
        "Reading their device lists .*1/3",
        "some work of tomorrow .*3/3",
    )
    command = [sys.executable, "-c", STEPS]
    variables = environment(TERM="xterm-256color")
    with Terminal(command, environment=variables, folder=str(tmp_path)) as terminal:
        for line in shown:
            terminal.wait_for_match(re.compile(line))
            terminal.press("\r")
        terminal.wait_for("done")
        assert terminal.end() == 0
