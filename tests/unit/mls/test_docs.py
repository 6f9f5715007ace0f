"""docs/mls.md: its example runs, its map is whole, and what it says of suites is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from parlour.mls.public.suites import ALL_SUITES

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "mls.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "parlour" / "mls"


def test_the_example_runs_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "docs/mls.md", "exec"), {})  # noqa: S102
    assert said.getvalue() == "b'hello'\n"
    assert len(program.strip().splitlines()) <= 13


def test_the_map_names_every_module() -> None:
    table = PAGE.partition("## The map")[2].partition("\n## ")[0]
    named = set(re.findall(r"`((?:public|private)\.\w+)`", table))
    there = set()
    for half in ("public", "private"):
        for entry in (PACKAGE / half).iterdir():
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                there.add(f"{half}.{entry.stem}")
    assert named == {name for name in there if not name.endswith("__init__")}


def test_the_suites_are_those_of_the_code() -> None:
    table = PAGE.partition("## Cipher suites")[2].partition("\n## ")[0]
    points = {int(point, 16) for point in re.findall(r"0x[0-9A-F]{4}", table)}
    assert {1, 2, 7, *(int(s.id) for s in ALL_SUITES if s.id > 0xF000)} == points
    assert {int(suite.id) for suite in ALL_SUITES} == {*range(1, 8), *(p for p in points if p > 7)}
