"""The peers of the pairwise benchmark."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

TEXT = bytes(256)
AD = bytes(32)
PEERS = Path(__file__).resolve().parent / "peers"


class Absent(Exception):
    """A peer that is not installed, and what to do about it."""


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1_000


class LibsignalPeer:
    """npm @signalapp/libsignal-client in a Node.js process of its own, which keeps the time."""

    operations = frozenset(
        ("initiate", "respond", "round", "encrypt", "decrypt", "fan-out", "batch")
    )

    def __init__(self) -> None:
        node = shutil.which("node")
        if not (PEERS / "node_modules" / "@signalapp").is_dir() or node is None:
            raise Absent("@signalapp/libsignal-client (run `make peers`)")
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [node, str(PEERS / "libsignal_ratchet.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = f"@signalapp/libsignal-client {self._answer()['version']}"

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Absent("@signalapp/libsignal-client (its process ended)")
        return json.loads(line)

    def time(self, op: str, count: int) -> list[float]:
        assert self._process.stdin is not None
        request = {"op": op.replace("-", "_"), "count": count}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        samples: list[float] = self._answer()["us"]
        return samples


class VodozemacPeer:
    """PyPI vodozemac: Olm sessions."""

    operations = frozenset(
        ("initiate", "respond", "round", "encrypt", "decrypt", "fan-out", "batch")
    )

    def __init__(self) -> None:
        try:
            from importlib.metadata import version

            import vodozemac
        except ImportError:
            raise Absent("vodozemac (PyPI)") from None
        self._library: Any = vodozemac
        self.name = f"vodozemac {version('vodozemac')}"
        self._ada, self._bea = vodozemac.Account(), vodozemac.Account()
        self._left, self._right = self._started()
        self._crowd = [self._started()[0] for _ in range(100)]

    def _one_time_key(self) -> Any:
        self._bea.generate_one_time_keys(1)
        (key,) = self._bea.one_time_keys.values()
        self._bea.mark_keys_as_published()
        return key

    def _outbound(self, key: Any) -> Any:
        return self._ada.create_outbound_session(self._bea.curve25519_key, key)

    def _inbound(self, message: Any) -> tuple[Any, bytes]:
        first = message.to_pre_key()
        result: tuple[Any, bytes] = self._bea.create_inbound_session(
            self._ada.curve25519_key, first
        )
        return result

    def _started(self) -> tuple[Any, Any]:
        left = self._outbound(self._one_time_key())
        right, _ = self._inbound(left.encrypt(TEXT))
        left.decrypt(right.encrypt(TEXT))
        left.encrypt(TEXT)
        return left, right

    def time(self, op: str, count: int) -> list[float]:
        run: Callable[[], float] = getattr(self, op.replace("-", "_"))
        return [run() for _ in range(count)]

    def initiate(self) -> float:
        key = self._one_time_key()
        start = time.perf_counter_ns()
        self._outbound(key).encrypt(TEXT)
        return _since(start)

    def respond(self) -> float:
        message = self._outbound(self._one_time_key()).encrypt(TEXT)
        start = time.perf_counter_ns()
        self._inbound(message)
        return _since(start)

    def round(self) -> float:
        self._right.decrypt(self._left.encrypt(TEXT))
        start = time.perf_counter_ns()
        self._left.decrypt(self._right.encrypt(TEXT))
        return _since(start)

    def encrypt(self) -> float:
        self._right.decrypt(self._left.encrypt(TEXT))
        start = time.perf_counter_ns()
        message = self._left.encrypt(TEXT)
        taken = _since(start)
        self._right.decrypt(message)
        return taken

    def decrypt(self) -> float:
        self._right.decrypt(self._left.encrypt(TEXT))
        message = self._left.encrypt(TEXT)
        start = time.perf_counter_ns()
        self._right.decrypt(message)
        return _since(start)

    def fan_out(self) -> float:
        start = time.perf_counter_ns()
        for session in self._crowd:
            session.encrypt(TEXT)
        return _since(start)

    def batch(self) -> float:
        session = self._crowd[0]
        start = time.perf_counter_ns()
        for _ in range(100):
            session.encrypt(TEXT)
        return _since(start)


class DoubleRatchetPeer:
    """PyPI X3DH and DoubleRatchet, with their recommended primitives."""

    operations = frozenset(
        ("initiate", "respond", "round", "encrypt", "decrypt", "fan-out", "batch")
    )

    def __init__(self) -> None:
        try:
            from benchmarks.doubleratchet_peer import Pair, name
        except ImportError:
            raise Absent("DoubleRatchet, X3DH (PyPI)") from None
        self.name = name()
        self._loop = asyncio.new_event_loop()
        self._make = Pair
        self._pair = self._run(Pair.started())
        self._crowd = [self._run(Pair.started()) for _ in range(100)]

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(awaitable)

    def time(self, op: str, count: int) -> list[float]:
        run: Callable[[], Awaitable[float]] = getattr(self, op.replace("-", "_"))

        async def repeat() -> list[float]:
            return [await run() for _ in range(count)]

        samples: list[float] = self._run(repeat())
        return samples

    async def initiate(self) -> float:
        pair = self._make()
        bundle = pair.bundle()
        start = time.perf_counter_ns()
        await pair.initiate(bundle)
        return _since(start)

    async def respond(self) -> float:
        pair = self._make()
        first = await pair.initiate(pair.bundle())
        start = time.perf_counter_ns()
        await pair.respond(first)
        return _since(start)

    async def round(self) -> float:
        left, right = self._pair.left, self._pair.right
        await right.decrypt_message(await left.encrypt_message(TEXT, AD), AD)
        start = time.perf_counter_ns()
        await left.decrypt_message(await right.encrypt_message(TEXT, AD), AD)
        return _since(start)

    async def encrypt(self) -> float:
        left, right = self._pair.left, self._pair.right
        await right.decrypt_message(await left.encrypt_message(TEXT, AD), AD)
        start = time.perf_counter_ns()
        message = await left.encrypt_message(TEXT, AD)
        taken = _since(start)
        await right.decrypt_message(message, AD)
        return taken

    async def decrypt(self) -> float:
        left, right = self._pair.left, self._pair.right
        await right.decrypt_message(await left.encrypt_message(TEXT, AD), AD)
        message = await left.encrypt_message(TEXT, AD)
        start = time.perf_counter_ns()
        await right.decrypt_message(message, AD)
        return _since(start)

    async def fan_out(self) -> float:
        start = time.perf_counter_ns()
        for pair in self._crowd:
            await pair.left.encrypt_message(TEXT, AD)
        return _since(start)

    async def batch(self) -> float:
        start = time.perf_counter_ns()
        for _ in range(100):
            await self._crowd[0].left.encrypt_message(TEXT, AD)
        return _since(start)
