import ast
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from parlour.errors import CODES, Code, InternalError
from parlour.wire import document, limits
from parlour.wire.kinds import OPERATIONS
from parlour.wire.notation import definitions, words
from tests.bodies import BODIES


def test_page_in_the_tree_is_what_the_code_says() -> None:
    assert document.main(["--check"]) == 0


def test_module_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["document", "--check"])
    monkeypatch.delitem(sys.modules, "parlour.wire.document")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("parlour.wire.document", run_name="__main__")
    assert caught.value.code == 0


def test_check_names_a_missing_and_a_stale_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "wire.md"
    assert document.main(["--check"], page) == 1
    assert not page.exists()
    capsys.readouterr()
    assert document.main([], page) == 0
    assert document.main(["--check"], page) == 0
    assert capsys.readouterr().err == ""
    page.write_text(page.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert document.main(["--check"], page) == 1
    assert capsys.readouterr().err == "docs/wire.md is not what the code says: run `make docs`\n"


def test_page_has_everything() -> None:
    page = document.render()
    for body in BODIES:
        if body.__module__.startswith("parlour."):
            assert f"### {body.__name__}\n" in page
            for field in body.__struct_fields__:
                assert f"| `{field}` |" in page
    for operation in OPERATIONS.values():
        assert f"| `{operation.name}` | {operation.door.value} |" in page
    for code, explanation in CODES.items():
        assert f"| `{code.value}` | {explanation.kind.__name__} | {explanation.sentence} |" in page


def test_links_lead_somewhere() -> None:
    page = document.render()
    targets = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", page, re.MULTILINE)}
    targets |= set(re.findall(r'<a id="(\w+)"></a>', page))
    links = set(re.findall(r"\]\(#(\w+)\)", page))
    assert links
    assert links <= targets


def test_every_row_has_the_columns_of_its_table() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", document.render(), re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize("module", document.BODIES)
def test_every_named_type_is_explained(module: ModuleType) -> None:
    named = [item for item in definitions(module) if isinstance(item.form, ast.Subscript)]
    assert all(item.below for item in named), named


def test_every_bound_has_a_reason() -> None:
    bounds = list(definitions(limits))
    assert len(bounds) > 10
    assert [item.name for item in bounds if not item.above] == []


def test_annotation_without_words_is_our_bug() -> None:
    with pytest.raises(InternalError) as caught:
        words(ast.parse("dict[str, int]", mode="eval").body, dict[str, int])
    assert caught.value.code is Code.INTERNAL_BUG
