from importlib.metadata import entry_points, metadata, version

import parlour


def test_version_is_the_installed_one() -> None:
    assert parlour.__version__ == version("parlour")


def test_licence_is_named() -> None:
    assert metadata("parlour")["License-Expression"] == "Apache-2.0"


def test_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="parlour")
    assert command.value == "parlour.cli:main"
