"""Code, tests and documentation name the same rules, in the same words.

`python -m tests.unit.mls.test_rules_table` writes the table of `docs/mls-rules.md` again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from parlour.mls.public.rules import Rule

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCE = CHECKOUT / "src" / "parlour" / "mls"
PAGE = CHECKOUT / "docs" / "mls-rules.md"

# A comment such as `# V0705 §7.3: "Verify that …"`, over one line or more, and what follows it.
QUOTE = re.compile(r'(?P<id>V\d{4}) §(?P<section>[\d.]+): (?P<text>".*)')
TEST = re.compile(r"def (test_(?:v\d{4}_)+\w+)")
USE = re.compile(r"Rule\.([A-Z0-9_]+)")


@dataclass(frozen=True)
class Check:
    """A quoted rule and the module that checks it."""

    rule: str
    section: str
    text: str
    module: str


def comments(source: str) -> list[str]:
    """Runs of comment lines, each joined to one line."""
    runs: list[list[str]] = [[]]
    for line in source.splitlines():
        stripped = line.strip()
        if stripped.startswith("# "):
            runs[-1].append(stripped[2:])
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if run]


def checks() -> list[Check]:
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        for comment in comments(file.read_text(encoding="utf-8")):
            match = QUOTE.match(comment)
            if match:
                module = file.relative_to(SOURCE).as_posix()
                found.append(Check(match["id"], match["section"], match["text"], module))
    return found


def uses() -> dict[str, set[str]]:
    """By rule, the modules that raise it."""
    found: dict[str, set[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        if file.name == "rules.py":
            continue
        for name in USE.findall(file.read_text(encoding="utf-8")):
            found.setdefault(Rule[name].value, set()).add(file.relative_to(SOURCE).as_posix())
    return found


def negative_tests() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted(Path(__file__).parent.glob("test_rules_*.py")):
        for name in TEST.findall(file.read_text(encoding="utf-8")):
            for number in re.findall(r"v(\d{4})_", name):
                found.setdefault(f"V{number}", []).append(f"{file.stem}::{name}")
    return found


def table() -> str:
    """The table as it should be."""
    by_test = negative_tests()
    names = {rule.value: rule.name.lower() for rule in Rule}
    rows = ["| id | section | rule | checked in | test |", "|---|---|---|---|---|"]
    for rule in sorted(names):
        found = [check for check in checks() if check.rule == rule]
        modules = sorted({check.module for check in found})
        text = found[0].text.replace("|", "\\|")
        tests = ", ".join(f"`{test.split('::')[1]}`" for test in by_test[rule])
        places = ", ".join(f"`{module}`" for module in modules)
        sections = ", ".join(sorted({check.section for check in found}))
        rows.append(f"| {rule} | §{sections} | {names[rule]}: {text} | {places} | {tests} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page with the table in it."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition("| id |")
    return head + table()


def test_ids_are_unique_and_well_formed() -> None:
    assert len({rule.value for rule in Rule}) == len(Rule)
    assert all(re.fullmatch(r"V\d{4}", rule.value) for rule in Rule)


def test_every_rule_is_quoted_where_it_is_checked() -> None:
    quoted: dict[str, set[str]] = {}
    for check in checks():
        quoted.setdefault(check.rule, set()).add(check.module)
    for rule in Rule:
        assert quoted.get(rule.value), f"{rule.name} is quoted nowhere"
    for rule_id, modules in uses().items():
        # Where a rule is raised for a second reason, the sentence stands in the first module.
        assert quoted[rule_id] & modules, f"{rule_id} is quoted, but not where it is checked"


def test_no_sentence_without_a_rule() -> None:
    known = {rule.value for rule in Rule}
    assert {check.rule for check in checks()} <= known


def test_one_rule_has_one_sentence() -> None:
    texts: dict[str, set[str]] = {}
    for check in checks():
        texts.setdefault(check.rule, set()).add(check.text)
    assert [rule for rule, found in texts.items() if len(found) > 1] == []


def test_every_rule_has_a_negative_test() -> None:
    assert sorted(negative_tests()) == sorted(rule.value for rule in Rule)


def test_the_page_lists_them_all() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run python -m tests.unit.mls.test_rules_table"
    )


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.value)
def test_sentences_are_the_rfcs(rule: Rule) -> None:
    """Where the text of the RFC is at hand (`PARLOUR_RFC9420`), each quote is looked up in it."""

    named = os.environ.get("PARLOUR_RFC9420")
    if not named:
        pytest.skip("PARLOUR_RFC9420 does not name the text of RFC 9420")
    text = " ".join(re.sub(r"^\s*[*~] ", "", line) for line in Path(named).read_text().splitlines())
    text = " ".join(text.split())
    for check in checks():
        if check.rule == rule.value:
            for quote in re.findall(r'"([^"]+(?:"path required"[^"]+)?)"', check.text):
                for part in quote.split("…"):
                    assert " ".join(part.split()) in text, part


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
