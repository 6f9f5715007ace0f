"""The README's five minutes, as written there, on two machines that are network namespaces."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.terminals import Terminal

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
STEPS = dict(re.findall(r"<!-- run: (\w+, [\w-]+) -->\n```sh\n(.*?)\n```", README, re.S))
ADDRESSES = {"first": "192.168.1.10", "second": "192.168.1.11"}
# The network namespace of each machine; those of one namespace have homes of their own.
PLACES = {"first": "first", "second": "second", "laptop": "second"}
PASSWORDS = {
    "first": "three lamps over the door",
    "second": "a quiet street in winter",
    "laptop": "a bag under the window seat",
}
NEW_PASSWORD = "nobody on the train knows it"
CODE = re.compile(r"parlour:link#[A-Za-z0-9_-]+")
DIGITS = re.compile(r"^ {4}(\d{3} ?\d{3})\b", re.M)
INVITE = re.compile(r"parlour:invite#[A-Za-z0-9_-]+")
RECOVERY_KEY = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){6}\b")
GROUP = re.compile(r"group (\d): ")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)


class Machines:
    """Two network namespaces with a wire between them, and a home for a person on each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {name: f"parlour-{name}-{os.getpid()}" for name in ADDRESSES}
        bin_ = folder / "bin"
        bin_.mkdir()
        command = bin_ / "parlour"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m parlour.cli "$@"\n')
        command.chmod(0o755)
        self._path = f"{bin_}:/usr/bin:/bin"

    def connect(self) -> None:
        first, second = self.names.values()
        for name in self.names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        wire = ("wire", "netns", first, "type", "veth", "peer", "name", "wire", "netns", second)
        run("ip", "link", "add", *wire)
        for machine, name in self.names.items():
            address = f"{ADDRESSES[machine]}/24"
            run("ip", "-n", name, "address", "add", address, "dev", "wire")
            run("ip", "-n", name, "link", "set", "wire", "up")
        for machine in PLACES:
            (self.folder / machine).mkdir(mode=0o700)

    def disconnect(self) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def terminal(self, machine: str, step: str) -> Terminal:
        """Type a command of the README on a machine."""
        command = STEPS[f"{machine}, {step}"]
        return Terminal(
            ["ip", "netns", "exec", self.names[PLACES[machine]], "sh", "-c", command],
            environment={
                "HOME": str(self.folder / machine),
                "PATH": self._path,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TERM": "xterm-256color",
                "LANG": "C.UTF-8",
            },
            folder=str(self.folder / machine),
        )

    def invite(self) -> str:
        with self.terminal("first", "invite") as inviting:
            assert inviting.end() == 0
            found = INVITE.search(inviting.text)
        assert found is not None
        return found[0]

    def register(self, machine: str, invite: str) -> None:
        with self.terminal(machine, "register") as terminal:
            terminal.wait_for("Paste the invite")
            terminal.press(invite + "\n")
            terminal.wait_for("Choose a password: ")
            terminal.press(PASSWORDS[machine] + "\n")
            terminal.wait_for("The same again: ")
            terminal.press(PASSWORDS[machine] + "\n")
            write_down_the_key(terminal)
            terminal.wait_for("✓ You are ")
            assert terminal.end() == 0
            assert PASSWORDS[machine] not in terminal.text

    def chat(self, machine: str) -> Terminal:
        terminal = self.terminal(machine, "chat")
        terminal.wait_for("Password for ")
        terminal.press(PASSWORDS[machine] + "\n")
        terminal.wait_for("/help")
        terminal.wait_for("● ", stay=True)
        return terminal


def write_down_the_key(terminal: Terminal) -> None:
    """Copy the recovery key from the screen to paper, and type from it what is asked for."""
    terminal.wait_for("press Enter")
    found = RECOVERY_KEY.search(terminal.text)
    assert found is not None
    paper = found[0].split("-")
    terminal.press("\n")
    for _ in range(2):
        asked = terminal.wait_for_match(GROUP)
        terminal.press(paper[int(asked[1]) - 1] + "\n")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and the program ip")
    made = Machines(tmp_path)
    try:
        made.connect()
    except subprocess.CalledProcessError as refused:
        made.disconnect()
        pytest.skip(f"network namespaces are not allowed here: {refused.stderr.strip()}")
    try:
        yield made
    finally:
        made.disconnect()


def test_steps_are_marked() -> None:
    steps = ["server", "invite", "register", "chat", "link", "lost-device"]
    others = ["second, register", "second, chat", "laptop, join"]
    assert sorted(STEPS) == sorted([*(f"first, {step}" for step in steps), *others])


@pytest.mark.timeout(240)
def test_five_minutes(machines: Machines) -> None:
    with machines.terminal("first", "server") as server:
        server.wait_for("Next, in another terminal: parlour admin invite")
        invite = machines.invite()
        machines.register("first", invite)
        machines.register("second", invite)
        talk(machines)


def talk(machines: Machines) -> None:
    """Lines both ways, then with one side away."""
    with machines.chat("first") as alice:
        with machines.chat("second") as bob:
            alice.press("Hello from the first machine\r")
            alice.wait_for("Hello from the first machine  sent")
            bob.wait_for("alice ?  Hello from the first machine")
            bob.press("And hello back\r")
            bob.wait_for("And hello back  sent")
            alice.wait_for("bob ?  And hello back")
            bob.press("/quit\r")
            assert bob.end() == 0
        alice.press("While you are away\r")
        alice.wait_for("While you are away  sent")
        with machines.chat("second") as bob:
            bob.wait_for("alice ?  While you are away")
            bob.press("\x04")
            assert bob.end() == 0
        alice.press("/quit\r")
        assert alice.end() == 0


@pytest.mark.timeout(240)
def test_a_new_laptop_and_a_lost_phone(machines: Machines) -> None:
    with machines.terminal("first", "server") as server:
        server.wait_for("Next, in another terminal: parlour admin invite")
        machines.register("first", machines.invite())
        join_the_laptop(machines)
        lose_the_phone(machines)


def join_the_laptop(machines: Machines) -> None:
    with machines.terminal("first", "link") as old, machines.terminal("laptop", "join") as new:
        old.wait_for("Password for ")
        old.press(PASSWORDS["first"] + "\n")
        old.wait_for("A name for the new device")
        old.press("phone\n")
        code = old.wait_for_match(CODE)[0]
        new.wait_for("Paste the code")
        new.press(code + "\n")
        new.wait_for("Choose a password")
        new.press(PASSWORDS["laptop"] + "\n")
        new.wait_for("The same again: ")
        new.press(PASSWORDS["laptop"] + "\n")
        digits = [device.wait_for_match(DIGITS)[1] for device in (old, new)]
        assert digits[0] == digits[1]
        for device in (old, new):
            device.wait_for("the same?")
            device.press("y\n")
        old.wait_for("✓ phone is one of your devices now")
        new.wait_for("✓ This is a device of alice@")
        assert (old.end(), new.end()) == (0, 0)


def lose_the_phone(machines: Machines) -> None:
    with machines.terminal("first", "lost-device") as device:
        device.wait_for("Password for ")
        device.press(PASSWORDS["first"] + "\n")
        device.wait_for("Which one is lost?")
        device.press("phone\n")
        device.wait_for("Go on?")
        device.press("y\n")
        for question in ("new password", "The same again: "):
            device.wait_for(question)
            device.press(NEW_PASSWORD + "\n")
        device.wait_for("is out of your account")
        assert device.end() == 0
        assert NEW_PASSWORD not in device.text


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target and ":" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing
