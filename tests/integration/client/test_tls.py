import asyncio
import importlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from parlour.client import connection as connection_module
from parlour.client import tls
from parlour.client.address import Address
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.keys import SessionToken
from parlour.client.tls import Authorities, Pinned, client_context, handshake_error, peer_pin
from parlour.errors import Code, ParlourError, SecurityStop, TransportError, UsageError
from tests.integration.client.fakes import Identity, make_identity, running

TOKEN = SessionToken(b"canary-token-of-more-than-forty-characters")


class Listener:
    """A TLS server that keeps every application byte that it is sent."""

    def __init__(self) -> None:
        self.heard = b""
        self.connections = 0
        self.hearing = asyncio.Event()
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(1000):
                self.heard += data
                self.hearing.set()
        except OSError:
            pass
        finally:
            writer.close()
            self.over.set()


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[tuple[Listener, Address]]:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield listener, Address("127.0.0.1", port)


async def refused(address: Address, trust: tls.Trust) -> ParlourError:
    with pytest.raises(ParlourError) as caught:
        await Connection.open(address, LOGIN_PATH, trust, TOKEN)
    assert "canary" not in f"{caught.value!r} {caught.value}"
    return caught.value


async def idle(client: Any) -> None:
    await client.wait_closed()


async def test_the_right_pin_opens_and_shows_itself(identity: Identity, impostor: Identity) -> None:
    async with running(identity, idle) as server:
        for trust in (server.trust, Pinned.of([impostor.pin, identity.pin])):
            async with await Connection.open(server.address, LOGIN_PATH, trust) as connection:
                assert connection.channel_pin == identity.pin


async def test_the_wrong_server_hears_no_application_byte(
    identity: Identity, impostor: Identity
) -> None:
    async with listening(impostor.context()) as (listener, address):
        error = await refused(address, Pinned.of([identity.pin]))
        assert isinstance(error, SecurityStop)
        assert error.code is Code.SERVER_PIN
        if listener.connections:
            await listener.over.wait()
    assert listener.heard == b""


async def test_the_listener_hears_what_a_right_pin_sends(impostor: Identity) -> None:
    # The test above could not fail if the listener were deaf.
    async with listening(impostor.context()) as (listener, address):
        opening = asyncio.ensure_future(
            Connection.open(address, LOGIN_PATH, Pinned.of([impostor.pin]), TOKEN)
        )
        await listener.hearing.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert b"canary-token" in listener.heard


def shake_hands(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    """Accept one connection with blocking calls, which send the alert; what was heard after it."""
    connection, _ = listener.accept()
    with connection:
        try:
            with context.wrap_socket(connection, server_side=True) as encrypted:
                return encrypted.recv(1000)
        except ssl.SSLError:
            return b""


async def test_a_server_of_tls_1_2_is_refused(identity: Identity) -> None:
    context = identity.context(ssl.TLSVersion.TLSv1_2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.ensure_future(asyncio.to_thread(shake_hands, listener, context))
        address = Address("127.0.0.1", listener.getsockname()[1])
        error = await refused(address, Pinned.of([identity.pin]))
        assert await serving == b""
    assert error.code is Code.SERVER_VERSION


async def test_a_server_without_tls_is_refused() -> None:
    async with listening(None) as (listener, address):
        opening = asyncio.ensure_future(refused(address, Pinned.of([bytes(32)])))
        await listener.hearing.wait()
        assert b"canary" not in listener.heard
        assert listener.heard[0] == 22  # a TLS handshake record, and no HTTP
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_an_authority_vouches_for_a_name(identity: Identity, certificates: Path) -> None:
    trust = Authorities(identity.certificate)
    async with running(identity, idle) as server:
        async with await Connection.open(server.address, LOGIN_PATH, trust) as connection:
            assert connection.channel_pin == identity.pin
        # Nobody of the system's authorities has signed it.
        error = await refused(server.address, Authorities())
        assert error.code is Code.SERVER_PIN
        assert isinstance(error, SecurityStop)
    elsewhere = make_identity(certificates, "elsewhere", host="elsewhere.example")
    async with listening(elsewhere.context()) as (listener, address):
        error = await refused(address, Authorities(elsewhere.certificate))
        assert error.code is Code.SERVER_PIN
        assert listener.heard == b""


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")
def test_pins_hold_on_uvloop_as_well(identity: Identity, impostor: Identity) -> None:
    async def story() -> None:
        async with running(identity, idle) as server:
            good = await Connection.open(server.address, LOGIN_PATH, server.trust)
            assert good.channel_pin == identity.pin
            await good.close()
        async with listening(impostor.context()) as (listener, address):
            assert (await refused(address, server.trust)).code is Code.SERVER_PIN
        assert listener.heard == b""

    uvloop = importlib.import_module("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_nobody_there_is_named() -> None:
    async with listening(None) as (_, address):
        pass
    error = await refused(address, Pinned.of([bytes(32)]))
    assert isinstance(error, TransportError)
    assert error.code is Code.NETWORK_UNREACHABLE


async def test_a_server_that_does_not_answer_is_named(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "OPEN_TIMEOUT", 0.05)
    async with listening(identity.context()) as (_, address):
        error = await refused(address, Pinned.of([identity.pin]))
    assert error.code is Code.NETWORK_TIMEOUT


def test_contexts_are_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for trust in (Pinned.of([bytes(32)]), Authorities()):
        context = client_context(trust)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.keylog_filename is None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_pins_and_files_are_checked(tmp_path: Path) -> None:
    for pins in ([], [b"short"]):
        with pytest.raises(UsageError):
            Pinned.of(pins)
    (tmp_path / "no.pem").write_text("nothing")
    for name in ("no.pem", "absent.pem"):
        with pytest.raises(UsageError) as caught:
            client_context(Authorities(tmp_path / name))
        assert caught.value.code is Code.USAGE_CONFIG


def test_a_key_that_can_not_be_read_has_no_pin() -> None:
    class Peer:
        def __init__(self, certificate: bytes | None) -> None:
            self.certificate = certificate

        def getpeercert(self, *, binary_form: bool) -> bytes | None:
            assert binary_form
            return self.certificate

    for certificate in (None, b"", b"no certificate"):
        peer: Any = Peer(certificate)
        assert peer_pin(peer) is None


def test_other_failures_of_tls_are_the_networks() -> None:
    error = handshake_error(ssl.SSLError(1, "something"))
    assert error.code is Code.NETWORK_UNREACHABLE
