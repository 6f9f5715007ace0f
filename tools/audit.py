"""Audit the locks: each entry carries its hash and no address, and none has a known advisory."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
PYTHON_LOCKS = tuple(ROOT / "locks" / f"{name}.txt" for name in ("bootstrap", "run", "dev"))
NPM_LOCKS = (ROOT / "benchmarks" / "peers" / "package-lock.json",)

ADVISORIES = "https://api.osv.dev/v1/querybatch"
TIMEOUT = 20.0  # seconds

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_ADDRESS = re.compile(r"://|(^|\s)(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b|\s@\s")

Package = tuple[str, str, str]  # ecosystem, name, version


def python_entries(text: str) -> Iterator[str]:
    """Yield each requirement of a lock as one line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def read_python_lock(lock: Path, problems: list[str]) -> Iterator[Package]:
    """Yield the packages of a requirements lock, and note what is wrong with its entries."""
    where = lock.relative_to(ROOT)
    for entry in python_entries(lock.read_text(encoding="utf-8")):
        pin = _PIN.match(entry)
        if _ADDRESS.search(entry):
            problems.append(f"{where}: an address stands in: {entry.split()[0]}")
        if pin is None:
            problems.append(f"{where}: not pinned: {entry.split()[0]}")
            continue
        if not _HASH.search(entry):
            problems.append(f"{where}: no hash: {pin['name']}")
        yield ("PyPI", pin["name"], pin["version"])


def read_npm_lock(lock: Path, problems: list[str]) -> Iterator[Package]:
    """Yield the packages of an npm lock, and note what is wrong with its entries."""
    where = lock.relative_to(ROOT)
    for path, entry in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
        if not path:
            continue  # the folder itself
        name = path.rpartition("node_modules/")[2]
        if "resolved" in entry:
            problems.append(f"{where}: an address stands in: {name}")
        if not entry.get("integrity", "").startswith("sha512-"):
            problems.append(f"{where}: no hash: {name}")
        yield ("npm", name, entry["version"])


def known_advisories(packages: list[Package]) -> list[str]:
    """Ask the advisory service about all packages at once.

    Raises:
        httpx.HTTPError: the service is out of reach or refused.
    """
    queries = [
        {"package": {"ecosystem": ecosystem, "name": name}, "version": version}
        for ecosystem, name, version in packages
    ]
    answer = httpx.post(ADVISORIES, json={"queries": queries}, timeout=TIMEOUT)
    answer.raise_for_status()
    return [
        f"{ecosystem} {name} {version}: {advisory['id']}"
        for (ecosystem, name, version), result in zip(
            packages, answer.json()["results"], strict=True
        )
        for advisory in result.get("vulns", ())
    ]


def main() -> int:
    """Print what was found; 1 when anything is wrong."""
    problems: list[str] = []
    packages: set[Package] = set()
    for lock in PYTHON_LOCKS:
        packages.update(read_python_lock(lock, problems))
    for lock in NPM_LOCKS:
        packages.update(read_npm_lock(lock, problems))
    print(f"locks: {len(packages)} packages, {len(problems)} faults")

    try:
        found = known_advisories(sorted(packages))
    except httpx.HTTPError as error:
        reason = type(error).__name__
        print(f"advisories: NOT CHECKED, the advisory service is out of reach ({reason})")
    else:
        print(f"advisories: {len(found)} for the locked versions")
        problems += found

    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
