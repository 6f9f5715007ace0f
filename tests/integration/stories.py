"""What stories are told with: people whose devices are homes, and commands as processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from parlour.cli.demo.processes import Process
from tests.integration.running import People, ServerProcess


class Devices(People):
    """Homes by the names of devices, each with a file that holds what opens it."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        super().__init__(folder)
        self.server = server
        self.passwords: dict[str, str] = {}
        """Of devices that open by another password than all: the file that holds it."""

    def environment(self, name: str) -> dict[str, str]:
        """See `People`."""
        settings = super().environment(name)
        if name in self.passwords:
            settings["PARLOUR_PASSWORD_FILE"] = self.passwords[name]
        return settings

    def secret(self, name: str, text: str) -> str:
        """The path of a file that its owner alone can read."""
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(text + "\n")
        return str(file)

    def register_with_paper(self, device: str, account: str) -> Path:
        """Make an account with a recovery key; returns the file of the key."""
        paper = self.folder / f"{account}.paper"
        invite = self.keep(self.server.invite())
        self.call(
            device, "register", account, "--invite-file", invite,
            "--recovery-file", str(paper), "--device-name", device,
        )  # fmt: skip
        return paper

    def documents(self, device: str, *arguments: str, said: str = "") -> list[dict[str, Any]]:
        """Run a command with --json on a device; return its documents."""
        printed = self.call(device, *arguments, "--json", said=said)
        return [json.loads(line) for line in printed.splitlines()]

    def texts(self, device: str, *arguments: str) -> list[str]:
        """The texts of messages that a command shows."""
        found = self.documents(device, *arguments)
        return [document["text"] for document in found if "text" in document]

    def refused(self, device: str, *arguments: str, code: int) -> str:
        """Run a command that ends with an exit code; return the code of its error."""
        done = self.run(device, *arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return str(json.loads(done.stderr)["error"]["code"])

    def link(self, old: str, new: str) -> None:
        """Two commands and two times yes."""
        asyncio.run(self._link(old, new))

    async def _link(self, old: str, new: str) -> None:
        on_old = await self._start(old, "link", "--name", new)
        try:
            shown = await on_old.expect(code="link.shown")
            code = self.secret(f"{new}.code", shown["text"])
            on_new = await self._start(new, "join", "--code-file", code)
            try:
                digits = [(await each.expect(code="link.compare"))["digits"] for each in
                          (on_old, on_new)]  # fmt: skip
                assert digits[0] == digits[1]
                for each in (on_old, on_new):
                    await each.tell("y")
                for each in (on_old, on_new):
                    await each.expect(code="link.done")
                    await each.finish()
            finally:
                await on_new.stop()
        finally:
            await on_old.stop()

    async def _start(self, device: str, *arguments: str) -> Process:
        settings = {
            name: value
            for name, value in self.environment(device).items()
            if name[:8] == "PARLOUR_" or name == "PYTHONPATH"
        }
        return await Process.start(device, self.folder, *arguments, settings=settings)
