"""Which evidence of long runs is about other code than this.

    python -m tools.evidence

Each file in `docs/evidence` says of which package it is (`package`), and the hash that the package
had (`package_sha256`). Most changes make all of it stale, and renewing it takes hours; so this says
so and fails nothing. Exit code 1 is for evidence that does not say what it is about.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from fuzz.evidence import CHECKOUT, hash_package

FOLDER: Final = "docs/evidence"
NEEDED: Final = ("command", "commit", "package", "package_sha256")


def states(root: Path = CHECKOUT) -> dict[str, str]:
    """Of each file by its name: "current", "stale: …", or "broken: …"."""
    return {path.name: _state(root, path) for path in sorted((root / FOLDER).glob("*.json"))}


def _state(root: Path, path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    absent = [key for key in NEEDED if key not in document]
    if absent:
        return f"broken: it does not say its {', '.join(absent)}"
    if hash_package(root, document["package"]) == document["package_sha256"]:
        return "current"
    commit = str(document["commit"] or "an unknown commit")[:12]
    return f"stale: of {commit}; renew it by {document['command']}"


def main() -> int:
    """Print the state of each file."""
    found = states()
    for name, state in found.items():
        print(f"{name}: {state}")
    return int(any(state.startswith("broken") for state in found.values()))


if __name__ == "__main__":
    sys.exit(main())
