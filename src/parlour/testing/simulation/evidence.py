"""What a long run leaves behind: counts, and which code they are about."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import parlour

PACKAGE: Final = "src/parlour"
_SUMS: Final = (
    "steps",
    "sent",
    "delivered",
    "repaired",
    "lost",
    "unreadable",
    "unreadable_without_reason",
)


def hash_package() -> str:
    """SHA-256 over path and content of each Python file of the package."""
    root = Path(parlour.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        name = f"{PACKAGE}/{path.relative_to(root).as_posix()}"
        digest.update(f"{content}  {name}\n".encode())
    return digest.hexdigest()


def commit() -> str | None:
    """The checkout's commit, or None outside of git."""
    try:
        command = ["git", "-C", str(Path(parlour.__file__).parent), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def total(records: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    """The sum of counts that stand under one key of each record."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record[key])
    return dict(sorted(counts.items()))


def write(path: Path, command: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Write what many runs came to."""
    document = {
        "command": command,
        "commit": commit(),
        "package": PACKAGE,
        "package_sha256": hash_package(),
        "seeds": len(records),
        "seed_numbers": [record["seed"] for record in records],
        "kinds": dict(sorted(Counter(record["kind"] for record in records).items())),
        **{key: sum(record[key] for record in records) for key in _SUMS},
        "excused": total(records, "excused"),
        "lies": total(records, "lies"),
        "actions": total(records, "actions"),
        "effects": total(records, "effects"),
        "failures": [record["seed"] for record in records if record["problems"]],
        "seconds": round(sum(record["seconds"] for record in records), 1),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
