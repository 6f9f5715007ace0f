"""RFC 9420: every kind of the official vectors, whatever lies in the folder.

Source: github.com/mlswg/mls-implementations, folder test-vectors. A file of a known kind that
yields no case fails; the number of cases per kind is printed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_vectors
from tests.vectors.mls import crypto, framing, groups, tree

Runner = Callable[[dict[str, Any]], None]

RUNNERS: dict[str, Runner] = {
    "tree-math": crypto.tree_math,
    "crypto-basics": crypto.crypto_basics,
    "secret-tree": crypto.secret_tree,
    "key-schedule": crypto.key_schedule,
    "psk_secret": crypto.psk_secret,
    "transcript-hashes": crypto.transcript_hashes,
    "deserialization": crypto.deserialization,
    "message-protection": framing.message_protection,
    "messages": framing.messages,
    "tree-operations": tree.tree_operations,
    "tree-validation": tree.tree_validation,
    "treekem": tree.treekem,
    "welcome": groups.welcome,
    "passive-client-welcome": groups.passive_client,
    "passive-client-handling-commit": groups.passive_client,
    "passive-client-random": groups.passive_client,
}
INTEROP = "interop-passive"


def known_files(folder: Path) -> Iterator[tuple[str, Path, Runner]]:
    """Each file of a known kind in `folder/mls`, with its kind and its runner."""
    for file in sorted((folder / "mls").glob("*.json")):
        runner = RUNNERS.get(file.stem)
        if runner is None and file.stem.startswith("passive-client-"):
            runner = groups.passive_client
        if runner is not None:
            yield file.stem, file, runner
    for file in sorted((folder / "mls" / INTEROP).rglob("*.json")):
        yield INTEROP, file, groups.passive_client


def run_file(file: Path, runner: Runner) -> int:
    """Run every case of a file; how many there were. All that fail are named."""
    cases = json.loads(file.read_text(encoding="utf-8"))
    failed = []
    for number, case in enumerate(cases):
        try:
            runner(case)
        except Exception as error:
            error.add_note(f"{file.name}, case {number} of {len(cases)}")
            failed.append(error)
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(cases)} cases fail", failed)
    return len(cases)


FILES = list(known_files(find_vectors()))
COUNTS: Counter[str] = Counter()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "file", "runner"), FILES, ids=[f"{kind}-{file.stem}" for kind, file, _ in FILES]
)
def test_vectors(kind: str, file: Path, runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    count = run_file(file, runner)
    COUNTS[kind] += count
    with capsys.disabled():
        print(f"\n{kind}: {count} cases ({file.name})", end="")
    assert count > 0, f"{file.name} holds no case"


def test_the_folder_holds_vectors() -> None:
    assert FILES, "no file of a known kind"
