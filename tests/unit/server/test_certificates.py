"""The TLS key: pinned, renewed under the same pin, or the operator's."""

from __future__ import annotations

import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from parlour.errors import Code, UsageError
from parlour.primitives.certificates import Certificate
from parlour.server.certificates import (
    CERTIFICATE_FILE,
    FOLDER,
    KEY_FILE,
    NEXT_KEY_FILE,
    load_tls,
)
from parlour.server.config import Config

NOW = 1_800_000_000
YEAR = 365 * 24 * 60 * 60


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", name="parlour.example:8443")


def test_the_pin_stays_when_the_certificate_is_renewed(config: Config) -> None:
    first = load_tls(config, now=NOW)
    text = first.certificate.read_bytes()
    assert load_tls(config, now=NOW + 1) == first
    assert first.certificate.read_bytes() == text
    later = load_tls(config, now=NOW + 2 * YEAR)
    assert later == first
    assert first.certificate.read_bytes() != text
    certificate = Certificate.from_pem(first.certificate.read_bytes())
    assert certificate.spki_pin == first.pin
    assert "parlour.example" in certificate.names
    assert first.context().minimum_version == ssl.TLSVersion.TLSv1_3


def test_the_next_key_takes_over_under_the_announced_pin(config: Config) -> None:
    first = load_tls(config, now=NOW)
    folder = config.data / FOLDER
    (folder / NEXT_KEY_FILE).replace(folder / KEY_FILE)
    second = load_tls(config, now=NOW)
    assert second.pin == first.next_pin
    assert second.next_pin not in (None, first.pin, first.next_pin)
    assert Certificate.from_pem(second.certificate.read_bytes()).spki_pin == second.pin


def test_keys_are_their_owners_alone(config: Config) -> None:
    load_tls(config, now=NOW)
    folder = config.data / FOLDER
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name in (KEY_FILE, NEXT_KEY_FILE):
        (folder / name).chmod(0o644)
        with pytest.raises(UsageError) as refusal:
            load_tls(config, now=NOW)
        assert refusal.value.code == Code.STORE_SECRET
        (folder / name).chmod(0o600)
    (folder / CERTIFICATE_FILE).write_text("damaged")
    load_tls(config, now=NOW).context()


def test_the_operators_own_certificate_is_used(config: Config, tmp_path: Path) -> None:
    theirs = load_tls(config, now=NOW)
    other = replace(config, data=tmp_path / "other", certificate=theirs.certificate, key=theirs.key)
    used = load_tls(other, now=NOW)
    assert (used.pin, used.next_pin) == (theirs.pin, None)
    used.context()
    assert not (tmp_path / "other").exists()


def test_a_certificate_that_does_not_fit_stops_the_start(config: Config, tmp_path: Path) -> None:
    ours = load_tls(config, now=NOW)
    wrong_key = replace(
        config, certificate=ours.certificate, key=config.data / FOLDER / NEXT_KEY_FILE
    )
    with pytest.raises(UsageError) as refusal:
        load_tls(wrong_key, now=NOW).context()
    assert refusal.value.code == Code.USAGE_CONFIG
    absent = replace(config, certificate=tmp_path / "absent", key=ours.key)
    with pytest.raises(UsageError) as refusal:
        load_tls(absent, now=NOW)
    assert refusal.value.code == Code.USAGE_CONFIG
