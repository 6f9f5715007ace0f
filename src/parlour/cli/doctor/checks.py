"""The checks. Each gives one finding, or several; what it needs was found by the ones before."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.client.account import Account
from parlour.client.connection import LIVE_PATH, LOGIN_PATH, Connection
from parlour.client.home import Home
from parlour.client.keys import SessionToken
from parlour.client.workers import run_slow
from parlour.conversation.records import OwnDevice, read_own
from parlour.errors import CODES, Code, ExitCode, ParlourError, error
from parlour.wire.frames import WIRE_VERSION
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import PrekeyCounts
from parlour.wire.server import Nothing, ServerInfo

_MEBIBYTE: Final = 1 << 20
# A year of text is a few megabytes; below this even a database in use runs out of room.
LEAST_FREE: Final = 100 * _MEBIBYTE
# Prekeys and device lists carry times in seconds; skew below this confuses only people.
MAX_SKEW: Final = 120.0
# Below this the client fills up at its next connection.
FEW_PREKEYS: Final = 20
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: a stable name, the outcome, and what to do if it is bad."""

    check: str
    ok: bool
    text: str
    remedy: str = ""
    code: Code | None = None

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with if this is the first bad one."""
        if self.ok:
            return ExitCode.FINE
        return CODES[self.code].kind.exit_code if self.code else ExitCode.BUG


def bad(check: str, failure: ParlourError) -> Finding:
    """A finding out of an error."""
    detail = f" ({failure.detail})" if failure.detail else ""
    return Finding(check, False, failure.sentence + detail, failure.remedy, failure.code)


def check_storage(folder: Path) -> list[Finding]:
    """The home's folder: there, private, writable, with room."""
    if not folder.is_dir():
        return [bad("storage", error(Code.HOME_MISSING, str(folder)))]
    return [_check_private(folder), _check_writable(folder), _check_space(folder)]


def _check_private(folder: Path) -> Finding:
    if os.name == "posix" and folder.stat().st_mode & _OTHERS:
        return Finding(
            "permissions", False, "Others can look into the home.", f"chmod 700 {folder}",
            Code.USAGE_CONFIG,
        )  # fmt: skip
    return Finding("permissions", True, f"The home is private: {folder}")


def _check_writable(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"parlour")
            file.flush()
            os.fsync(file.fileno())
    except OSError as failure:
        return Finding(
            "storage", False, f"The home can't be written: {failure.strerror}.",
            "Check who owns the folder, and the disk.", Code.STORE_BROKEN,
        )  # fmt: skip
    return Finding("storage", True, "The home can be written")


def _check_space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free // _MEBIBYTE:,} MiB free"
    if free < LEAST_FREE:
        return Finding("space", False, text, CODES[Code.STORE_FULL].remedy, Code.STORE_FULL)
    return Finding("space", True, text)


@dataclass(frozen=True, slots=True)
class Patient:
    """What an open home holds of its server and itself."""

    account: Account
    own: OwnDevice

    @classmethod
    async def of(cls, home: Home) -> Patient:
        """Read the home."""
        records = await home.store.records()
        return cls(Account.load(records), read_own(records))

    async def connect(self, path: str = LIVE_PATH) -> Connection:
        """Connect to the server; with the token unless it is the login socket."""
        token = None if path == LOGIN_PATH else SessionToken.from_text(self.account.token)
        return await Connection.open(self.account.address, path, self.account.trust, token)


RoundTrip = Callable[[Patient, Connection], Awaitable[Finding]]


async def check_server(patient: Patient) -> AsyncIterator[Finding]:
    """The server as a stranger sees it: reachable, TLS 1.3, its key, its name, its clock."""
    began = time.monotonic()
    connection = await patient.connect(LOGIN_PATH)
    async with connection:
        took = (time.monotonic() - began) * _MILLISECONDS
        yield Finding("reachable", True, f"{patient.account.address} answers, in {took:.0f} ms")
        yield Finding("tls", True, "TLS 1.3")
        pin = connection.channel_pin.hex()
        yield Finding("pin", True, f"Its key is the pinned one: {pin[:16]}…")
        asked = time.time()
        info = await connection.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
        middle = (asked + time.time()) / 2
    for finding in check_info(info, patient.account, middle):
        yield finding


def check_info(info: ServerInfo, account: Account, now: float) -> list[Finding]:
    """What the server says of itself. `now` in seconds."""
    return [
        _check_name(info, account),
        _check_version(info),
        _check_clock(info, now),
        _check_next_pin(info, account),
    ]


def _check_name(info: ServerInfo, account: Account) -> Finding:
    if info.name != account.server:
        return bad("name", error(Code.SERVER_NAME, info.name))
    return Finding("name", True, f"It is {info.name}")


def _check_version(info: ServerInfo) -> Finding:
    if WIRE_VERSION not in info.wire_versions:
        return bad("version", error(Code.SERVER_VERSION, info.software))
    return Finding("version", True, f"It runs {info.software}, and speaks version {WIRE_VERSION}")


def _check_clock(info: ServerInfo, now: float) -> Finding:
    skew = now - info.time / _MILLISECONDS
    if abs(skew) > MAX_SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        return bad("clock", error(Code.SERVER_CLOCK, f"this one is {abs(skew):.0f} s {ahead} it"))
    return Finding("clock", True, f"The clocks agree, within {abs(skew):.1f} s")


def _check_next_pin(info: ServerInfo, account: Account) -> Finding:
    if not account.pins:
        return Finding("next-pin", True, "A certificate authority vouches for it")
    if info.next_pin is None:
        return Finding("next-pin", True, "It has announced no next key")
    known = info.next_pin in account.pins
    text = "The pin of its next key is known here" if known else "Its next key is learnt next time"
    return Finding("next-pin", True, text)


async def check_login(patient: Patient, round_trip: RoundTrip) -> AsyncIterator[Finding]:
    """What needs this device's login: the token, its prekeys, a message to itself."""
    async with await patient.connect() as connection:
        counts = await connection.ask(Kind.COUNT_PREKEYS, Nothing(), PrekeyCounts)
        yield Finding("login", True, f"This device is logged in as {patient.own.name}")
        yield _check_prekeys(counts)
        yield await round_trip(patient, connection)


def _check_prekeys(counts: PrekeyCounts) -> Finding:
    left = min(counts.one_time, counts.one_time_kem)
    if left < FEW_PREKEYS:
        return Finding(
            "prekeys", False, f"Only {left} one-time prekeys are left on the server.",
            "Open `parlour chat` or `parlour inbox` once: it sends new ones.",
            Code.PREKEY_NONE,
        )  # fmt: skip
    return Finding(
        "prekeys", True,
        f"{counts.one_time} one-time prekeys and {counts.one_time_kem} post-quantum ones are left",
    )  # fmt: skip


async def examine(
    folder: Path, password: Callable[[], Awaitable[str | None]], round_trip: RoundTrip
) -> AsyncIterator[Finding]:
    """All checks in their order. The first error of a group ends what depends on it."""
    findings = await run_slow(check_storage, folder)
    for finding in findings:
        yield finding
    if not all(finding.ok for finding in findings if finding.check == "storage"):
        return
    try:
        home = await Home.open(folder, await password())
    except ParlourError as failure:
        yield bad("home", failure)
        return
    try:
        patient = await Patient.of(home)
        yield Finding("home", True, "It opens, and its database is in order")
        async for finding in _guarded("reachable", check_server(patient)):
            yield finding
            if not finding.ok and finding.check in ("reachable", "name"):
                return
        async for finding in _guarded("login", check_login(patient, round_trip)):
            yield finding
    finally:
        await home.close()


async def _guarded(check: str, findings: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """An error ends the group and is its last finding."""
    try:
        async for finding in findings:
            yield finding
    except ParlourError as failure:
        yield bad(check, failure)
