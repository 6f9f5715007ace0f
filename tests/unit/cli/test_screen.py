import io

import pytest
from rich.console import Console
from rich.text import Text

from parlour.cli.chat.screen import Screen
from tests.unit.cli.emulator import Emulator

WIDTH = 30
PROMPT = Text("bob › ")


@pytest.fixture
def terminal() -> Emulator:
    return Emulator(WIDTH)


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(file=io.StringIO(), width=WIDTH, force_terminal=True))


def test_what_is_printed_stays_above_the_foot(screen: Screen, terminal: Emulator) -> None:
    foot = [Text("waiting one"), Text("waiting two")]
    terminal.feed(screen.draw([Text("first")], foot, PROMPT, "ha", 2))
    assert terminal.text == ["first", "waiting one", "waiting two", "bob › ha"]
    terminal.feed(screen.draw([Text("second")], foot[1:], PROMPT, "half", 2))
    assert terminal.text == ["first", "second", "waiting two", "bob › half"]
    assert terminal.column == len("bob › ha")
    terminal.feed(screen.draw([], [], PROMPT, "", 0))
    assert terminal.text == ["first", "second", "bob ›"]
    terminal.feed(screen.clear())
    assert terminal.text == ["first", "second", ""]


def test_nothing_is_erased_before_the_first_drawing(screen: Screen) -> None:
    assert screen.clear() == ""


def test_long_lines_are_cut_and_scrolled(screen: Screen, terminal: Emulator) -> None:
    line = "0123456789" * 5
    terminal.feed(screen.draw([], [Text(line)], PROMPT, line, len(line)))
    foot, prompt = terminal.text
    assert foot == line[: WIDTH - 2] + "…"
    assert prompt.startswith("bob › ")
    assert prompt.endswith(line[-5:])
    assert len(prompt) < WIDTH
    terminal.feed(screen.draw([], [Text(line)], PROMPT, line, 0))
    assert terminal.text[1].startswith("bob › 0123")
    assert terminal.column == len("bob › ")


def test_wide_characters_and_line_breaks(screen: Screen, terminal: Emulator) -> None:
    terminal.feed(screen.draw([], [], PROMPT, "你好\nx", 3))
    assert terminal.column == len("bob › ") + 4 + 1
    assert "⏎" in terminal.text[0]


def test_drawing_the_whole(screen: Screen, terminal: Emulator) -> None:
    terminal.feed(screen.draw([Text("old")], [], PROMPT, "", 0))
    terminal.feed(screen.draw([], [], PROMPT, "kept", 4, whole=True))
    assert terminal.text == ["bob › kept"]
