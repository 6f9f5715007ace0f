"""What a run leaves behind: counts, and which code they are about."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = "src/parlour"


@dataclass(slots=True)
class Result:
    """One target's run. An engine that cannot tell leaves `accepted` and `refused` at 0."""

    target: str
    engine: str
    seed: int
    seeds: int
    executions: int = 0
    accepted: int = 0
    refused: int = 0
    covered: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def count(self, *, accepted: bool) -> None:
        """Count one input."""
        self.executions += 1
        if accepted:
            self.accepted += 1
        else:
            self.refused += 1

    def line(self) -> str:
        """The run in a line of a table."""
        rate = self.executions / self.seconds if self.seconds else 0
        state = f"{len(self.findings)} FOUND" if self.findings else "fine"
        return (
            f"{self.target:24} {self.engine:8} {self.executions:>10,} inputs "
            f"{self.seconds:7.1f} s {rate:>9,.0f}/s  {state}"
        )


def hash_package(root: Path = CHECKOUT, package: str = PACKAGE) -> str:
    """SHA-256 over path and content of each Python file of the package."""
    digest = hashlib.sha256()
    for path in sorted((root / package).rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def commit(root: Path = CHECKOUT) -> str | None:
    """The checkout's commit, or None outside of git."""
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def write(path: Path, command: str, results: Sequence[Result]) -> None:
    """Write the record of a run as JSON."""
    record = {
        "command": command,
        "commit": commit(),
        "package": PACKAGE,
        "package_sha256": hash_package(),
        "inputs": sum(result.executions for result in results),
        "findings": sum(len(result.findings) for result in results),
        "targets": [{**asdict(result), "seconds": round(result.seconds, 1)} for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
