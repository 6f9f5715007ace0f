"""The new device's end of a mailbox in which two devices of one person meet (`wire.linking`).

It has no token: each request is signed by the new device's key, for this server and this mailbox.
What is left there stays there, and may be left and asked for again; so a cut in the middle of
linking shows only as a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from msgspec import Struct

from parlour.client.backoff import Backoff
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.login import MAX_CLOCK_DIFFERENCE, Target
from parlour.client.tls import Authorities
from parlour.errors import Code, PeerError, SecurityStop, TransportError, UsageError
from parlour.identity import proofs
from parlour.identity.device import device_id_of
from parlour.identity.linking import ServerPlace
from parlour.login import server_name
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.frames import WIRE_VERSION
from parlour.wire.kinds import Kind
from parlour.wire.linking import LinkMessage, LinkOffer, LinkWait
from parlour.wire.server import Nothing, ServerInfo

R = TypeVar("R", bound=Struct)


async def look(target: Target) -> ServerPlace:
    """Ask a server who it is, for a code that names it.

    Raises `SERVER_PIN`, `SERVER_NAME`, `SERVER_VERSION`, `SERVER_CLOCK`, `TransportError`.
    """
    async with await Connection.open(target.address, LOGIN_PATH, target.trust) as connection:
        name = await _check(connection, target.name)
        pin = None if isinstance(target.trust, Authorities) else connection.channel_pin
    return ServerPlace(name, target.address.host, target.address.port, pin)


async def _check(connection: Connection, expected: str | None) -> str:
    """Check what a server says of itself; returns its name."""
    info = await connection.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
    try:
        name = server_name(info.name)
    except UsageError:
        raise PeerError(Code.SERVER_MISBEHAVED, "a name that no server has") from None
    if expected is not None and name != server_name(expected):
        raise SecurityStop(Code.SERVER_NAME)
    if WIRE_VERSION not in info.wire_versions:
        raise TransportError(Code.SERVER_VERSION)
    difference = abs(info.time // 1000 - int(time.time()))
    if difference > MAX_CLOCK_DIFFERENCE:
        raise TransportError(Code.SERVER_CLOCK, f"by {difference} seconds")
    return name


class Meeting:
    """One mailbox, for the new device. Use it by `async with`."""

    def __init__(self, target: Target, mailbox: bytes, key: Ed25519PrivateKey) -> None:
        self._target = target
        self._mailbox = mailbox
        self._key = key
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._reached = False
        self._backoff = Backoff(random=system_random)

    async def offer(self, number: int, message: bytes, *, opens: bool) -> None:
        """Leave a message; the same one again is fine."""

        def body(proof: bytes) -> Struct:
            return LinkOffer(self._mailbox, self._public, proof, number, message, opens)

        await self._ask(Kind.LINK_OFFER, body, Nothing)

    async def refuse(self) -> None:
        """Say no: it ends for both devices."""
        await self._ask(
            Kind.LINK_OFFER,
            lambda proof: LinkOffer(self._mailbox, self._public, proof, 0, None, opens=False),
            Nothing,
        )

    async def wait(self, number: int) -> LinkMessage:
        """Wait for a message of the old device, however long the mailbox lives."""
        while True:
            answer = await self._ask(
                Kind.LINK_WAIT,
                lambda proof: LinkWait(self._mailbox, self._public, proof, number),
                LinkMessage,
            )
            if answer.message is not None:
                return answer

    @property
    def _public(self) -> bytes:
        return self._key.public_key.to_bytes()

    async def _ask(self, kind: Kind, body: Callable[[bytes], Struct], response: type[R]) -> R:
        """Ask until there is an answer, where the server was reached once and is the right one."""
        while True:
            try:
                connection = await self._connected()
                proof = self._proof(connection.channel_pin)
                return await connection.ask(kind, body(proof), response)
            except TransportError as problem:
                if problem.code in (Code.SERVER_VERSION, Code.SERVER_CLOCK) or not self._reached:
                    raise
                await self._close()
                delay = self._backoff.next_delay(time.monotonic(), problem.retry_after)
                await asyncio.sleep(delay)

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.open_:
                target = self._target
                connection = await Connection.open(target.address, LOGIN_PATH, target.trust)
                self._connection = connection
                await _check(connection, target.name)
                self._reached = True
            return self._connection

    def _proof(self, pin: bytes) -> bytes:
        return self._key.sign(
            proofs.link(
                server=server_name(self._target.name or ""),
                pin=pin,
                mailbox=self._mailbox,
                device_id=device_id_of(self._key.public_key),
            )
        )

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()
