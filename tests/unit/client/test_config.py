from pathlib import Path

import pytest

from parlour.client.config import find_home, find_password, read_password_file, with_settings
from parlour.errors import Code, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("from the file\n")
    return path


def test_the_home_is_where_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {"PARLOUR_HOME": "/variable"}
    assert find_home(Path("/option"), environment) == Path("/option")
    assert find_home(None, environment) == Path("/variable")
    assert find_home(None, {"PARLOUR_HOME": ""}) == tmp_path / ".parlour"
    assert find_home(Path("~/x"), {}) == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    assert find_home(Path("here"), {}) == tmp_path / "here"


def test_the_password_comes_from_the_plainest_source(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text("from the other")
    environment = {"PARLOUR_PASSWORD_FILE": str(file), "PARLOUR_PASSWORD": "from the variable"}
    assert find_password(other, environment, lambda: "asked") == "from the other"
    assert find_password(None, environment, lambda: "asked") == "from the file"
    del environment["PARLOUR_PASSWORD_FILE"]
    assert find_password(None, environment, lambda: "asked") == "from the variable"
    assert find_password(None, {}, lambda: "asked") == "asked"
    with pytest.raises(UsageError) as caught:
        find_password(None, {})
    assert caught.value.code is Code.USAGE_CONFIG


@pytest.mark.parametrize("data", [b"x", b"x\n", b"x\r\n"])
def test_one_line_is_read(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert read_password_file(file) == "x"


@pytest.mark.parametrize("data", [b"", b"\n", b"a\nb", b"canary\xff", b"canary" * 1000])
def test_other_content_is_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_password_file(file)
    assert caught.value.code is Code.USAGE_CONFIG
    assert "canary" not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_reach_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        read_password_file(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_password_file(tmp_path / "absent")


def test_the_file_of_settings_speaks_where_the_environment_is_silent(tmp_path: Path) -> None:
    settings = tmp_path / "parlour" / "parlour.toml"
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "PARLOUR_HOME": "/variable"}
    assert with_settings(environment) == environment
    settings.parent.mkdir()
    settings.write_text('[client]\nhome = "/file"\npassword_file = "/secret"\n[server]\nport = 1\n')
    found = with_settings(environment)
    assert (found["PARLOUR_HOME"], found["PARLOUR_PASSWORD_FILE"]) == ("/variable", "/secret")
    del environment["PARLOUR_HOME"]
    assert find_home(None, with_settings(environment)) == Path("/file")
    assert find_home(Path("/option"), with_settings(environment)) == Path("/option")


@pytest.mark.parametrize(
    "text", ["[client", "client = 1", "[client]\nhome = 1", '[client]\npassword = "x"', "\xff"]
)
def test_settings_that_are_not_understood_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        with_settings({"PARLOUR_CONFIG": str(file)})
    assert caught.value.code is Code.USAGE_CONFIG


def test_a_named_file_of_settings_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        with_settings({"PARLOUR_CONFIG": str(tmp_path / "absent")})
