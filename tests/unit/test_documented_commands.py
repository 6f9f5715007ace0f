"""What documents say to run is there: targets of make, and arguments that their programs take."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks import groups
from parlour.testing.simulation import command
from tests.conftest import CHECKOUT

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *CHECKOUT.glob("docs/*.md")]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))
# In a line of text between backticks, which may go on in the next line, or a line of a block.
COMMAND = re.compile(r'(?:`|^)make ([a-z-]+)(?:\s+ARGS="([^"`]*)")?', re.MULTILINE)


def commands(*pages: Path) -> list[tuple[str, list[str]]]:
    """The targets of make in these pages, with their arguments."""
    found = [match for page in pages for match in COMMAND.findall(page.read_text("utf-8"))]
    return [(target, shlex.split(arguments)) for target, arguments in found]


def test_each_target_is_there() -> None:
    named = {target for target, _ in commands(*PAGES)} - {"bench-"}
    assert {"test", "simulate", "demo", "interop", "bench-mls", "bench-groups"} <= named
    benches = {target for target in named if target.startswith("bench-")}
    assert named - benches - TARGETS == set()
    modules = [target.removeprefix("bench-").replace("-", "_") for target in benches]
    assert [name for name in modules if not (CHECKOUT / f"benchmarks/{name}.py").is_file()] == []


def test_the_readme_names_the_runs_of_groups_and_of_the_simulation() -> None:
    named = commands(CHECKOUT / "README.md")
    assert ("simulate", []) in named
    assert ("bench-groups", []) in named
    assert ("bench-groups", ["--parts", "e2e", "--e2e", "1500"]) in named


def test_the_simulation_takes_what_is_said_to_run_it() -> None:
    said = [arguments for target, arguments in commands(*PAGES) if target == "simulate"]
    assert [] in said
    assert len([arguments for arguments in said if arguments]) >= 2
    for arguments in said:
        assert command._arguments(arguments).seeds


def test_the_benchmark_takes_what_is_said_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [arguments for target, arguments in commands(*PAGES) if target == "bench-groups"]
    assert len([arguments for arguments in said if arguments]) >= 3
    for arguments in said:
        monkeypatch.setattr(sys, "argv", ["groups", *arguments])
        options = groups.arguments()
        assert set(options.parts) <= groups.PARTS.keys()
        assert all(int(size) for size in options.e2e)
