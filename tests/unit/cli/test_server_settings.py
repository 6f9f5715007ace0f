from __future__ import annotations

from pathlib import Path

import pytest

from parlour.cli import server_settings
from parlour.cli.admin import _port
from parlour.cli.lasting import days
from parlour.cli.server_settings import port_of, reachable_at, server_config
from parlour.client.address import Address
from parlour.errors import UsageError
from parlour.server import Config, Server

ANYWHERE = Config().host
NO_FILE = Path("there-is-none.toml")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("socket.gethostname", lambda: "Attic")
    monkeypatch.setattr(server_settings, "_own_address", lambda: "192.0.2.7")


def test_the_name_is_this_machines_until_the_data_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server_config(NO_FILE, data=tmp_path).name == "attic"
    assert server_config(NO_FILE, data=tmp_path, name="home.example").name == "home.example"
    assert server_config(NO_FILE, data=tmp_path, name="localhost").name == "localhost"
    monkeypatch.setattr("socket.gethostname", lambda: "no name!")
    assert server_config(NO_FILE, data=tmp_path).name == "localhost"
    (tmp_path / "parlour.db").write_bytes(b"no database")
    assert server_config(NO_FILE, data=tmp_path).name == "localhost"


async def test_the_name_of_the_data_stays(tmp_path: Path) -> None:
    config = server_config(NO_FILE, data=tmp_path / "data", host="127.0.0.1", port=0, name="first")
    assert port_of(config) == 0
    async with Server(config) as server:
        port = server.port
    kept = server_config(NO_FILE, data=tmp_path / "data")
    assert (kept.name, port_of(kept)) == ("first", port)


def test_file_environment_and_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "parlour.toml"
    file.write_text('[server]\nname = "file.example"\nport = 1\nhost = "127.0.0.1"\n')
    monkeypatch.setattr("os.environ", {"PARLOUR_PORT": "2", "PARLOUR_NAME": "variable.example"})
    config = server_config(file, name="flag.example", port=None)
    assert (config.host, config.port, config.name) == ("127.0.0.1", 2, "flag.example")


@pytest.mark.parametrize(
    ("host", "name", "address"),
    [
        (ANYWHERE, "chat.example.org", "chat.example.org"),
        (ANYWHERE, "chat.example.org:9000", "chat.example.org"),
        ("::", "198.51.100.4", "198.51.100.4"),
        (ANYWHERE, "attic", "192.0.2.7"),
        ("10.0.0.3", "chat.example.org", "10.0.0.3"),
        ("attic.lan", "attic", "attic.lan"),
    ],
)
def test_where_others_reach_it(host: str, name: str, address: str) -> None:
    assert reachable_at(Config(host=host, name=name)) == address


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (None, 9000),
        ("chat.example.org", 9000),
        ("chat.example.org:1", 1),
        ("2001:db8::1", 9000),
        ("[2001:db8::1]", 9000),
        ("[2001:db8::1]:1", 1),
    ],
)
def test_the_port_of_an_invite(text: str | None, port: int) -> None:
    assert _port(text, Address.parse(text) if text else None, 9000) == port


def test_how_long_an_invite_lasts() -> None:
    assert [days("3"), days("7d"), days("2w")] == [3, 7, 14]
    for wrong in ("", "d", "1h", "-1", "99999d"):
        with pytest.raises(UsageError):
            days(wrong)
