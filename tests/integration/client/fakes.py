"""Servers that are not ours: real sockets and TLS on loopback, with answers that a test chooses."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct
from websockets.asyncio.server import ServerConnection, serve

from parlour.client.address import Address
from parlour.client.tls import Pinned
from parlour.primitives.certificates import Certificate, private_key_to_pem
from parlour.primitives.signature import EcdsaP256PrivateKey
from parlour.wire.frames import Frame, decode_body, decode_frame, encode_frame
from parlour.wire.kinds import OPERATIONS, Kind
from parlour.wire.limits import MAX_FRAME

Handler = Callable[[ServerConnection], Awaitable[None]]
YEAR = 365 * 86400


@dataclass(frozen=True)
class Identity:
    """A server's key and certificate, in files as `ssl` wants them."""

    pin: bytes
    certificate: Path
    key: Path

    def context(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = version
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_identity(folder: Path, name: str, *, host: str = "localhost") -> Identity:
    key = EcdsaP256PrivateKey.generate()
    names = [host, "127.0.0.1"] if host == "localhost" else [host]
    certificate = Certificate.self_signed(key, names=names, now=int(time.time()), valid_for=YEAR)
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.to_pem())
    files[1].write_bytes(private_key_to_pem(key))
    return Identity(certificate.spki_pin, *files)


@dataclass
class FakeServer:
    """A running server and how to reach it."""

    address: Address
    trust: Pinned


@asynccontextmanager
async def running(
    identity: Identity, handler: Handler, **options: Any
) -> AsyncIterator[FakeServer]:
    """Serve until the block ends."""
    options.setdefault("ssl", identity.context())
    async with serve(
        handler, "127.0.0.1", 0, compression=None, max_size=MAX_FRAME, **options
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield FakeServer(Address("127.0.0.1", port), Pinned.of([identity.pin]))


async def next_request(socket: ServerConnection) -> tuple[Frame, Struct]:
    """The next request's frame and body."""
    data = await socket.recv()
    if isinstance(data, str):
        raise TypeError("a text frame")
    frame = decode_frame(data)
    return frame, decode_body(frame.body, OPERATIONS[Kind(frame.kind)].request)


async def answer(socket: ServerConnection, request_id: int, body: Struct) -> None:
    await socket.send(encode_frame(Kind.OK, request_id, body))
