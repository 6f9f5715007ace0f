"""``parlour join --passphrase``: the new device says which devices there are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from parlour.cli.app import run
from parlour.identity.passphrase import Passphrase
from tests.town import Town, cheap_homes


@pytest.mark.parametrize("for_programs", [True, False])
async def test_a_device_that_joins_by_passphrase_names_all_devices(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, for_programs: bool
) -> None:
    words, file = Passphrase.generate(), tmp_path / "words"
    file.touch(0o600)
    file.write_text(words.reveal() + "\n")
    home = town.home("new")
    arguments = ["join", "--passphrase", "--server", f"127.0.0.1:{town.port}", "--account", "dora"]
    arguments += ["--home", str(home), "--password-file", str(file)]
    async with Town(town.folder, town.port, lone_vaults="yes").serving():
        with cheap_homes():
            await town.register("dora", password=words, lone=True, device_name="old laptop")
            code = await asyncio.to_thread(run, [*arguments, *["--json"] * for_programs])
    printed = capsys.readouterr()
    assert code == 0, printed
    if for_programs:
        document = json.loads(printed.out)
        assert document["code"] == "link.done"
        assert document["devices"][0]["name"] == "old laptop"
        assert [device["current"] for device in document["devices"]] == [False, True]
    else:
        assert "old laptop" in printed.out
        assert "parlour lost-device" in printed.out
