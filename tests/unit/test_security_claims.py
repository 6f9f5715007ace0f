"""Each claim of SECURITY.md names tests, and they exist."""

import re

from tests.conftest import CHECKOUT

PAGE = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")


def claims() -> list[tuple[str, str]]:
    """The rows of the tables: a claim, and what shows it."""
    rows = re.findall(r"^\| (?!claim |---)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\|(?! claim | ---)", PAGE, re.MULTILINE))
    return [(claim, tests) for claim, tests in rows]


def test_every_claim_names_a_test() -> None:
    assert len(claims()) > 10
    assert [claim for claim, tests in claims() if "`tests/" not in tests] == []


def test_every_named_test_exists() -> None:
    named = set(re.findall(r"tests/[\w./-]+", PAGE))
    assert len(named) > 10
    missing = [path for path in sorted(named) if not (CHECKOUT / path).is_file()]
    assert missing == []
    assert [path for path in named if not (CHECKOUT / path).name.startswith("test_")] == []
    empty = [path for path in named if "def test_" not in (CHECKOUT / path).read_text("utf-8")]
    assert empty == []


def test_links_lead_to_files() -> None:
    pages = [CHECKOUT / "SECURITY.md", CHECKOUT / "docs" / "trust.md"]
    for page in pages:
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        assert links
        assert [link for link in links if not (page.parent / link).is_file()] == []
