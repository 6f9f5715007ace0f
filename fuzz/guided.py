"""The engine that is guided by coverage: atheris, in a process of its own.

libFuzzer ends its process when it is done, so the run happens in a child (`python -m fuzz.guided`),
which instruments the package while it imports it; the parent reads the counts from its output.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from fuzz import registry
from fuzz.check import Finding, accepts
from fuzz.evidence import Result
from fuzz.mutate import MAX_INPUT

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
_FINDING = re.compile(r"^.*Finding: .*$\n?.*input: [0-9a-f]*$", re.MULTILINE)
# Starting and instrumenting takes seconds; past this the child hangs, which is a finding.
_GRACE = 120


def available() -> bool:
    """Whether atheris is installed here."""
    return importlib.util.find_spec("atheris") is not None


def run(target: registry.Target, *, seed: int, seconds: float) -> Result:
    """Fuzz for `seconds` in a child."""
    result = Result(target.name, "atheris", seed, len(target.seeds))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        options = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-seed={seed + 1}",  # libFuzzer takes 0 for "choose one"
            f"-max_len={MAX_INPUT}",
            f"-artifact_prefix={folder}/",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "fuzz.guided", target.name, str(corpus), *options]
        try:
            child = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
            )
            output, failed = child.stderr + child.stdout, child.returncode != 0
        except subprocess.TimeoutExpired:
            output, failed = "the process did not end", True
        result.executions = int(_last(_EXECUTED, output))
        result.covered = int(_last(_COVERED, output))
        if failed:
            found = _FINDING.search(output)
            crashes = [path.read_bytes().hex() for path in Path(folder).glob("*-*")]
            result.findings.append(found.group() if found else f"{output[-2000:]}\n{crashes}")
    result.seconds = time.monotonic() - began
    return result


def _last(pattern: re.Pattern[str], text: str) -> str:
    found: list[str] = pattern.findall(text)
    return found[-1] if found else "0"


def main() -> None:
    """The child: `python -m fuzz.guided NAME CORPUS [libFuzzer's options]`."""
    import atheris

    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["parlour", "fuzz.targets"]):
        target = registry.load(name)
    # Here, not in the parent: what is encrypted afresh in each process opens only where it was.
    for data in target.seeds:
        (Path(sys.argv[1]) / sha256(data).hexdigest()).write_bytes(data)

    def one(data: bytes) -> None:
        accepts(name, target.run, data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    try:
        main()
    except Finding:
        sys.exit(1)
