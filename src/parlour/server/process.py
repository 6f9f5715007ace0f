"""A running server: data folder, store, core, doors, sweeper; started and stopped in order.

::

    async with Server(config) as server:
        server.port, server.pin

`serve` runs one until the process is told to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as scatter
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Self, TextIO

import uvicorn

import parlour
from parlour.errors import Code, StorageError, TransportError, UsageError
from parlour.login import OpaqueServer
from parlour.primitives.random import Random, system_random
from parlour.server import sweeper
from parlour.server.certificates import ServerTls, load_tls
from parlour.server.clock import Clock, system_clock
from parlour.server.config import Config
from parlour.server.core import Core
from parlour.server.http.app import make_app
from parlour.server.http.protocol import BoundedHttpProtocol
from parlour.server.identity import ServerIdentity
from parlour.server.logs import LibraryHandler, Log
from parlour.server.secrets import load_secrets
from parlour.server.socket.protocol import CalmSocketProtocol
from parlour.server.store.sqlite import SqliteStore
from parlour.wire.limits import MAX_FRAME

_BACKLOG: Final = 2048
# Two missed pings are a dead peer.
_PING_SECONDS: Final = 20.0
_KEEP_ALIVE_SECONDS: Final = 30
# How long open requests may go on when the server stops.
_GRACE_SECONDS: Final = 5
# For the last pushes to leave; who reads slower learns it from the closed socket.
_DRAIN_SECONDS: Final = 3.0
# Spreads the return of all devices over five seconds.
_MAX_RETRY_MS: Final = 5000
_LIBRARY_LOGGERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")


class Server:
    """One server in this process. `clock` and `random` are for tests."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock = system_clock,
        random: Random = system_random,
        log_stream: TextIO | None = None,
    ) -> None:
        self.config = config
        self._clock = clock
        self._random = random
        self._log_stream = log_stream
        self._exit = contextlib.AsyncExitStack()
        self._tls: ServerTls | None = None
        self._core: Core | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def pin(self) -> bytes:
        """SHA-256 of the TLS key's SubjectPublicKeyInfo, by which clients know the server."""
        if self._tls is None:
            raise UsageError(Code.USAGE_STATE, "not started")
        return self._tls.pin

    @property
    def core(self) -> Core:
        """The server without its doors."""
        if self._core is None:
            raise UsageError(Code.USAGE_STATE, "not started")
        return self._core

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; on an error, what was begun is undone and the error raised."""
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise

    async def stop(self) -> None:
        """Tell devices to come back later, finish what is under way, close the store."""
        if self._core is not None:
            self._core.draining = True
            self._core.links.close()
            self._core.hub.drain(lambda: scatter.randint(0, _MAX_RETRY_MS))  # noqa: S311
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await self._core.hub.empty()
        await self._exit.aclose()

    async def _start(self) -> None:
        config = self.config
        _make_folder(config.data)
        log = self._open_log()
        store = await SqliteStore.open(config.data, name=config.name, random=self._random)
        self._exit.push_async_callback(store.close)
        secrets = load_secrets(config.data, self._random)
        tls = self._tls = load_tls(config, now=self._clock() // 1000, random=self._random)
        core = self._core = Core(
            store,
            OpaqueServer(secrets.opaque_setup, secrets.decoy_key),
            ServerIdentity(
                store.name,
                tls.pin,
                tls.next_pin,
                config.registration,
                config.invites,
                lone_vaults=config.lone_vaults == "yes",
            ),
            log,
            limits_factor=config.limits,
            clock=self._clock,
            random=self._random,
        )
        await self._exit.enter_async_context(_sweeping(core))
        listener = _listen(config.host, config.port)
        self._exit.callback(listener.close)
        self._port = listener.getsockname()[1]
        await store.set_port(self._port)
        await self._exit.enter_async_context(_doors(core, tls, listener))
        log.info("started", port=self._port, pin=tls.pin.hex(), version=parlour.__version__)

    def _open_log(self) -> Log:
        stream = self._log_stream
        if stream is None and self.config.log is not None:
            stream = self._exit.enter_context(_log_file(self.config.log))
        log = Log(stream, self._clock)
        handler = LibraryHandler(log)
        for name in _LIBRARY_LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(handler)
            logger.propagate = False
            self._exit.callback(logger.removeHandler, handler)
        return log


@contextlib.asynccontextmanager
async def _doors(core: Core, tls: ServerTls, listener: socket.socket) -> AsyncIterator[None]:
    """Run uvicorn on `listener` as long as the context lasts."""
    context = tls.context()
    settings = uvicorn.Config(
        make_app(core),
        http=BoundedHttpProtocol,
        ws=CalmSocketProtocol,
        ssl_context_factory=lambda _config, _default: context,
        ws_max_size=MAX_FRAME,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PING_SECONDS,
        # Ciphertext does not compress, and compression beside secrets leaks lengths.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    settings.load()
    server = uvicorn.Server(settings)
    server.lifespan = settings.lifespan_class(settings)
    await server.startup(sockets=[listener])
    # Its main loop would only renew a Date header, which we do not send, and watch for signals.
    await server.on_tick(0)
    try:
        yield
    finally:
        await server.shutdown(sockets=[listener])


@contextlib.asynccontextmanager
async def _sweeping(core: Core) -> AsyncIterator[None]:
    task = asyncio.create_task(sweeper.run(core.store, core.clock, core.log))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(Code.STORE_BROKEN, "the data folder can't be made") from fault


def _log_file(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8", buffering=1)
    except OSError as fault:
        raise UsageError(Code.USAGE_CONFIG, "log: can't be written") from fault


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, because asyncio turns Nagle's delay off only for sockets that are.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise TransportError(Code.NETWORK_UNREACHABLE, f"can't listen on port {port}") from fault
    listener.setblocking(False)
    return listener


def serve(config: Config, started: Callable[[Server], None] = lambda server: None) -> None:
    """Run a server until SIGINT or SIGTERM. Blocks; on uvloop where there is one.

    `started` is called once it listens.
    """
    if sys.platform == "win32":
        asyncio.run(_serve(config, started))
        return
    import uvloop

    uvloop.run(_serve(config, started))


async def _serve(config: Config, started: Callable[[Server], None]) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, told_to_end.set)
    async with Server(config) as server:
        started(server)
        await told_to_end.wait()
