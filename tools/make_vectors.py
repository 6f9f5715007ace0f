"""Write our own test vectors, `vectors/parlour-1/*.json`: `python -m tools.make_vectors`.

- `labels.json`: every label of every `labels` module of the package.
- `double_ratchet.json`: whole pairwise sessions, with all inputs and every message.
- `identity.json`: recovery keys, vaults, device lists, linkings, profiles.
- `roster.json`: a roster's log through every kind of change, with a link and a certificate.
- `mls.json`: groups as a passive client sees them, and parts of MLS, in the upstream forms.

Everything is made again from fixed seeds; only what ML-KEM draws inside its library is taken from
the file that is there. `--check` writes nothing and fails if a file is not what would be written.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import parlour
from tools.vectors import double_ratchet, identity, mls, roster

FOLDER: Final = Path(__file__).resolve().parent.parent / "vectors" / "parlour-1"


def labels() -> dict[str, dict[str, str]]:
    """The constants of each `parlour.PACKAGE.labels`, by package and name."""
    found = {}
    for package in pkgutil.iter_modules(parlour.__path__):
        name = f"parlour.{package.name}.labels"
        if package.ispkg and importlib.util.find_spec(name) is not None:
            module = importlib.import_module(name)
            found[package.name] = {
                constant: value.decode("ascii")
                for constant, value in sorted(vars(module).items())
                if constant.isupper() and isinstance(value, bytes)
            }
    return found


def _labels(_: Any) -> Any:
    return labels()


# What makes each file, given what the file holds now.
MAKERS: Final[dict[str, Callable[[Any], Any]]] = {
    "labels.json": _labels,
    "double_ratchet.json": double_ratchet.make,
    "identity.json": identity.make,
    "mls.json": mls.make,
    "roster.json": roster.make,
}


def render(name: str) -> str:
    """The text of one file as it should be."""
    file = FOLDER / name
    present = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return json.dumps(MAKERS[name](present), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or check every file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in MAKERS:
        file, text = FOLDER / name, render(name)
        if check and (not file.is_file() or file.read_text(encoding="utf-8") != text):
            stale += 1
            print(f"stale: {file.name} (run `make vectors`)")
        elif not check:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file.name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
