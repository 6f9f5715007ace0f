from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from parlour.cli.doctor import checks
from parlour.cli.doctor.checks import Finding, check_info, check_storage
from parlour.cli.doctor.round_trip import Probe
from parlour.client.account import Account
from parlour.errors import AuthenticationError, Code, ExitCode
from parlour.wire.prekeys import PrekeyCounts
from parlour.wire.server import ServerInfo

NOW = 1_800_000_000
PIN, NEXT_PIN = bytes(32), bytes(31) + b"\x01"


def info(
    name: str = "home.example", skew: int = 0, version: int = 1, next_pin: bytes | None = NEXT_PIN
) -> ServerInfo:
    return ServerInfo(
        name=name,
        wire_versions=[version],
        software="parlour",
        incarnation=bytes(16),
        time=(NOW + skew) * 1000,
        registration="invite",
        next_pin=next_pin,
    )


def account(*pins: bytes) -> Account:
    return Account("home.example", "127.0.0.1", 1, pins, "", b"")


def bad(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings if not finding.ok]


@pytest.mark.parametrize(
    ("said", "failing"),
    [
        (info(), []),
        (info(name="other.example"), ["name"]),
        (info(skew=3600), ["clock"]),
        (info(skew=-3600), ["clock"]),
        (info(version=99), ["version"]),
    ],
)
def test_what_a_server_says(said: ServerInfo, failing: list[str]) -> None:
    findings = check_info(said, account(PIN, NEXT_PIN), NOW)
    assert bad(findings) == failing
    assert all(finding.remedy for finding in findings if not finding.ok)


@pytest.mark.parametrize(
    ("next_pin", "pins", "text"),
    [
        (NEXT_PIN, (PIN, NEXT_PIN), "known here"),
        (NEXT_PIN, (PIN,), "learnt next time"),
        (None, (PIN,), "no next key"),
        (None, (), "authority"),
    ],
)
def test_next_pins(next_pin: bytes | None, pins: tuple[bytes, ...], text: str) -> None:
    assert text in check_info(info(next_pin=next_pin), account(*pins), NOW)[-1].text


def test_a_good_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert bad(check_storage(tmp_path)) == []


def test_no_home(tmp_path: Path) -> None:
    (finding,) = check_storage(tmp_path / "none")
    assert (finding.code, finding.exit_code) == (Code.HOME_MISSING, ExitCode.USAGE)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_home_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert bad(check_storage(tmp_path)) == ["permissions"]


def test_a_disk_that_fails_or_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")

    def failing(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", failing)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1 << 20))
    tmp_path.chmod(0o700)
    findings = check_storage(tmp_path)
    assert bad(findings) == ["storage", "space"]
    assert "Permission denied" in findings[1].text


def test_few_prekeys() -> None:
    assert checks._check_prekeys(PrekeyCounts(20, 20)).ok
    assert not checks._check_prekeys(PrekeyCounts(100, 3)).ok


def test_a_probe_reads_its_own_message_alone() -> None:
    probe, other = Probe(NOW), Probe(NOW)
    ciphertext = probe.seal()
    assert probe.plaintext not in ciphertext
    assert probe.opens(ciphertext)
    with pytest.raises(AuthenticationError):
        other.opens(ciphertext)
