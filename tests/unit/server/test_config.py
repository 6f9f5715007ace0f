"""Settings: which source wins, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from parlour.errors import Code, UsageError
from parlour.server import Config, load_config


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "parlour.toml"
    file.write_text('[server]\nport = 1\nname = "File.example"\nhost = "::1"\nlimits = 2\n')
    environment = {"PARLOUR_PORT": "2", "PARLOUR_NAME": "env.example", "OTHER": "x"}
    loaded = load_config(file, environment, {"port": 3, "host": None, "log": tmp_path / "log"})
    assert loaded == Config(
        port=3, name="env.example", host="::1", limits=2.0, log=tmp_path / "log"
    )
    assert load_config(None, {}, {}) == Config()
    assert load_config(tmp_path / "absent.toml", {}, {}) == Config()
    assert load_config(file, {}, {}).name == "file.example"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1", "prot"),
        ("[server]\nport = 'x'", "port"),
        ("[server]\nport = 65536", "port"),
        ("[server]\nregistration = 'closed'", "registration"),
        ("[server]\ninvites = 'everybody'", "invites"),
        ("[server]\nlone_vaults = 'maybe'", "lone_vaults"),
        ("[server]\nlimits = 0", "limits"),
        ("[server]\ncertificate = 'a.pem'", "certificate"),
        ("[server]\nname = 'ä'", "name"),
        ("server = 1", "server"),
        ("no toml", "parlour.toml"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "parlour.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refusal:
        load_config(file, {}, {})
    assert refusal.value.code == Code.USAGE_CONFIG
    assert refusal.value.detail.startswith(f"{named}: ")
