"""Every example runs, against a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import People, environment, json_line, server_and_people

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = {path.stem for path in (CHECKOUT / "examples").glob("*.py")}
SHOWN = {"dice_bot", "echo_bot", "send_and_wait", "verify_by_scan"}


class Examples:
    """Two homes, and programs that use them."""

    def __init__(self, people: People) -> None:
        self._people = people

    def options(self, name: str) -> list[str]:
        people = self._people
        return ["--home", str(people.folder / name), "--password-file", str(people.password)]

    def arguments(self, example: str, name: str, *more: str) -> list[str]:
        people = self._people
        return ["-m", f"examples.{example}", str(people.folder / name), str(people.password), *more]

    def run(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    with server_and_people(tmp_path_factory.mktemp("examples"), "asker", "bot") as (_, people):
        yield Examples(people)


def test_each_example_is_run_here() -> None:
    assert EXAMPLES - {"__init__"} == SHOWN


def test_the_bot_answers_who_waits(examples: Examples) -> None:
    bot = subprocess.Popen(
        [sys.executable, *examples.arguments("echo_bot", "bot")],
        cwd=CHECKOUT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == "bot@parlour.example listens\n"
        asked = examples.arguments("send_and_wait", "asker", "bot", "Is anybody there?")
        assert examples.run(*asked) == "sent\nIs anybody there?\n"
        bot.terminate()


def test_the_dice_bot_answers_in_a_group(examples: Examples) -> None:
    options = examples.options("asker")
    examples.run("-m", "parlour.cli", "group", "create", "game night", "bot", *options)
    bot, player = (
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in (
            examples.arguments("dice_bot", "bot"),
            ["-m", "parlour.cli", "chat", "#game night", "--json", *options],
        )
    )
    with bot, player:
        try:
            assert bot.stdout is not None
            assert bot.stdout.readline() == "bot@parlour.example rolls dice\n"
            assert player.stdin is not None
            player.stdin.write("hello\nroll 3d6\n")
            player.stdin.flush()
            said: dict[str, Any] = {}
            while (said.get("with"), said.get("from")) != ("#game night", "bot"):
                said = json_line(player.stdout)
            rolled = re.fullmatch(r"asker: ([1-6]) \+ ([1-6]) \+ ([1-6]) = (\d+)", said["text"])
            assert rolled is not None
            *dice, total = map(int, rolled.groups())
            assert sum(dice) == total
            player.stdin.close()
            assert player.wait(30) == 0
        finally:
            for each in (bot, player):
                each.kill()


def test_a_scanned_code_verifies(examples: Examples) -> None:
    shown = examples.run("-m", "parlour.cli", "verify", "asker", "--json", *examples.options("bot"))
    scanned = json.loads(shown)["scannable"]
    wrong = scanned[:-2] + f"{int(scanned[-2:], 16) ^ 1:02x}"
    examples.run(*examples.arguments("verify_by_scan", "asker", "bot", wrong), code=1)
    verified = examples.run(*examples.arguments("verify_by_scan", "asker", "bot", scanned))
    assert verified == "bot is verified\n"
