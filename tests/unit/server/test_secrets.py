"""The server's secret files: made once, refused when weak or readable."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from parlour.errors import Code, UsageError
from parlour.login.setup import SETUP_SIZE
from parlour.server.secrets import (
    DECOY_FILE,
    FOLDER,
    OPAQUE_FILE,
    load_secrets,
    write_secret,
)


def refused(data: Path) -> bool:
    with pytest.raises(UsageError) as refusal:
        load_secrets(data)
    return refusal.value.code == Code.STORE_SECRET


def test_they_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = load_secrets(data)
    assert load_secrets(data) == made
    assert made != load_secrets(tmp_path / "other")
    assert len(made.opaque_setup) == SETUP_SIZE
    assert made.opaque_setup.hex() not in repr(made)
    for file in (data / FOLDER).iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((data / FOLDER).stat().st_mode) == 0o700
    assert [file.name for file in data.iterdir()] == [FOLDER]


@pytest.mark.parametrize("name", [OPAQUE_FILE, DECOY_FILE])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_read_stops_the_start(tmp_path: Path, name: str, mode: int) -> None:
    load_secrets(tmp_path)
    (tmp_path / FOLDER / name).chmod(mode)
    assert refused(tmp_path)


@pytest.mark.parametrize("name", [OPAQUE_FILE, DECOY_FILE])
def test_a_weak_or_missing_secret_stops_the_start(tmp_path: Path, name: str) -> None:
    load_secrets(tmp_path)
    path = tmp_path / FOLDER / name
    good = path.read_bytes()
    for weak in (
        bytes(len(good)),
        b"\xff" * len(good),
        (b"changeme" * 16)[: len(good)],
        good[:-1],
        good + b"\n",
        b"",
    ):
        write_secret(path, weak)
        assert refused(tmp_path)
    path.unlink()
    assert refused(tmp_path)
    write_secret(path, good)
    load_secrets(tmp_path)
