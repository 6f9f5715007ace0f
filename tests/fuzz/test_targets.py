"""Each fuzz target for a short, seeded run, and that the runner finds what it looks for."""

import json
from pathlib import Path

import pytest

from fuzz import guided, loop, registry
from fuzz.check import Finding, accepts
from fuzz.evidence import hash_package
from fuzz.registry import Target
from fuzz.run import main
from parlour.errors import Code, DecodeError, InternalError, UsageError
from parlour.roster import draft

RUNS = 2000
# Each of their inputs starts a machine, twice.
FEWER = {"machine_entries": 500, "machine_groups": 500}


@pytest.mark.parametrize("name", registry.names())
def test_a_short_run_finds_nothing(name: str) -> None:
    target = registry.load(name)
    assert target.seeds, "a target starts from valid inputs"
    runs = FEWER.get(name, RUNS)
    result = loop.run(target, seed=1, runs=runs)
    assert result.findings == []
    assert result.executions == runs + len(target.seeds) + 1


def fake(run: object, seeds: tuple[bytes, ...] = (b"seed",)) -> Target:
    return Target("fake", run, seeds)  # type: ignore[arg-type]


def test_the_runner_finds_what_only_a_mutation_reaches() -> None:
    def target(data: bytes) -> None:
        if len(data) > 4 and data[0] == ord("s"):
            raise IndexError("past the end")

    result = loop.run(fake(target), seed=1, runs=10_000)
    assert len(result.findings) == 1
    assert "IndexError: past the end" in result.findings[0]
    assert "input: 73" in result.findings[0]


def test_the_same_seed_gives_the_same_inputs() -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        loop.run(fake(seen.append), seed=seed, runs=200)
        return seen

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def test_the_clock_ends_a_run() -> None:
    result = loop.run(fake(lambda data: None), seed=1, seconds=0.05)
    assert result.executions > 64
    assert result.accepted == result.executions
    assert result.seconds < 5


def test_values_and_peer_errors_are_fine_and_nothing_else() -> None:
    def raising(error: BaseException) -> bool:
        def run(_: bytes) -> None:
            raise error

        return accepts("fake", run, b"data")

    assert accepts("fake", lambda data: None, b"data")
    assert not raising(DecodeError(Code.DECODE_MALFORMED))
    for error in (
        UsageError(Code.USAGE_INVALID),
        InternalError(Code.INTERNAL_BUG),
        ValueError(),
        AssertionError(),
        RecursionError(),
        BaseException("the panic of a library"),
    ):
        with pytest.raises(Finding) as caught:
            raising(error)
        assert caught.value.data == b"data"
    for stop in (KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(stop)):
            raising(stop)


def test_the_command_leaves_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "evidence" / "fuzz.json"
    words = ["codec", "--seconds", "0.05", "--engine", "loop", "--json", str(file)]
    assert main(words) == 0
    assert "codec" in capsys.readouterr().out
    record = json.loads(file.read_text())
    assert record["command"].startswith("python -m fuzz.run codec --seconds 0.05")
    assert record["package_sha256"] == hash_package()
    assert record["findings"] == 0
    (target,) = record["targets"]
    assert (target["target"], target["engine"]) == ("codec", "loop")
    assert target["executions"] == record["inputs"] > 0


def test_a_finding_is_the_commands_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: bytes) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(registry, "load", lambda name: fake(broken))
    assert main(["codec", "--engine", "loop", "--seconds", "0.05"]) == 1
    assert "ValueError: broken" in capsys.readouterr().out


def test_targets_are_listed_and_unknown_ones_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == registry.names()
    for words in (["nonsense"], []):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2


@pytest.mark.skipif(not guided.available(), reason="atheris is not installed")
def test_coverage_guided_fuzzing_runs_and_finds(tmp_path: Path) -> None:
    result = guided.run(registry.load("codec"), seed=1, seconds=1)
    assert result.findings == []
    assert result.executions > 100
    assert result.covered > 10


def test_a_member_who_may_what_it_should_not_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the target of groups looks at what came of an input, and not only whether it raised."""
    target = registry.load("machine_groups")
    monkeypatch.setattr(draft, "may", lambda kind, role, right: True)
    forged = [seed for seed in target.seeds if seed[:1] == b"c"]
    findings = []
    for data in forged:
        try:
            accepts(target.name, target.run, data)
        except Finding as finding:
            findings.append(str(finding))
    assert len(findings) == 1, "mallory adds dave"
    assert "AssertionError" in findings[0]
