"""People for the server's tests: they register, log in, and speak the wire by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parlour.errors import ParlourError, error_from_wire
from parlour.identity import proofs
from parlour.identity.device_list import (
    Device,
    DeviceListEntry,
    DeviceListState,
    first_entry,
    next_entry,
)
from parlour.login import ClientLogin, ClientRegistration, LoginContext, Stretched
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from parlour.wire.directory import AppendDeviceList
from parlour.wire.envelope import Envelope
from parlour.wire.frames import decode_body, decode_frame, encode_body, encode_frame
from parlour.wire.kinds import OPERATIONS, PUSHES, Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.login import (
    LoggedIn,
    LoginChallenge,
    LoginFinish,
    LoginStart,
    RegisterChallenge,
    RegisterFinish,
    RegisterStart,
)
from parlour.wire.prekeys import Prekey
from parlour.wire.server import ErrorBody, Nothing
from parlour.wire.streams import (
    Append,
    Appended,
    CreateConversation,
    LiveStart,
    LiveStarted,
    Part,
    Position,
    StreamInfo,
)
from parlour.wire.vaults import NewVaults, PasswordFinish

T = TypeVar("T")
NOW = 1_800_000_000


def trust(server: Server) -> ssl.SSLContext:
    """TLS to this one server; tests compare its pin themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def envelope(body: bytes = b"ciphertext") -> Envelope:
    return Envelope(1, 2, b"key", body)


def prekeys(count: int, *, first: int = 0) -> list[Prekey]:
    expires = NOW + 10**9
    return [
        Prekey("signed", 1, expires, b"signed"),
        Prekey("kem_last_resort", 1, expires, b"last resort"),
        *(Prekey("one_time", first + n, expires, b"one %d" % n) for n in range(count)),
        *(Prekey("kem_one_time", first + n, expires, b"kem %d" % n) for n in range(count)),
    ]


class Socket:
    """A socket on which requests are answered and pushes kept in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._next_id = 1
        self._answers: dict[int, asyncio.Future[tuple[int, Any]]] = {}
        self.pushes: asyncio.Queue[tuple[Kind, Any]] = asyncio.Queue()
        self.loose_errors: list[ErrorBody] = []
        self.kinds: list[int] = []  # of all that came, in order
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for data in self.connection:
                frame = decode_frame(data)  # type: ignore[arg-type]
                self.kinds.append(frame.kind)
                if frame.kind in PUSHES:
                    kind = Kind(frame.kind)
                    self.pushes.put_nowait((kind, decode_body(frame.body, PUSHES[kind])))
                elif frame.request_id in self._answers:
                    self._answers.pop(frame.request_id).set_result((frame.kind, frame.body))
                else:
                    self.loose_errors.append(decode_body(frame.body, ErrorBody))
        except ConnectionClosed:
            pass  # in whatever way: who waits sees it below
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("closed"))

    def send(self, kind: Kind, body: msgspec.Struct) -> asyncio.Future[tuple[int, Any]]:
        """Send without waiting, to pipeline."""
        answer: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        request_id, self._next_id = self._next_id, self._next_id + 1
        self._answers[request_id] = answer
        frame = encode_frame(kind, request_id, body)
        task = asyncio.ensure_future(self.connection.send(frame))
        task.add_done_callback(lambda done: done.exception())
        if self._reading.done():
            answer.set_exception(ConnectionError("closed"))
        return answer

    async def ask(self, kind: Kind, body: msgspec.Struct, response: type[T]) -> T:
        """Ask and decode; errors of the server are raised."""
        return decode_answer(await self.send(kind, body), response)

    async def next_push(self) -> tuple[Kind, Any]:
        async with asyncio.timeout(5):
            return await self.pushes.get()

    async def closed(self) -> int | None:
        """Wait for the end and return the close code."""
        async with asyncio.timeout(5):
            await self._reading
            await self.connection.wait_closed()
        return self.connection.close_code

    async def close(self) -> None:
        await self.connection.close()
        await self._reading


def decode_answer(answer: tuple[int, Any], response: type[T]) -> T:
    kind, body = answer
    if kind == Kind.ERROR:
        raise error_from_wire(decode_body(body, ErrorBody).code)
    assert kind == Kind.OK
    return decode_body(body, response)


@contextlib.asynccontextmanager
async def open_socket(server: Server, path: str, token: str | None = None) -> AsyncIterator[Socket]:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with connect(
        f"wss://127.0.0.1:{server.port}{path}",
        ssl=trust(server),
        additional_headers=headers,
        compression=None,
        max_size=2 * MAX_FRAME,
        proxy=None,
    ) as connection:
        socket = Socket(connection)
        try:
            yield socket
        finally:
            await socket.close()


@dataclass
class Person:
    """One account with one device."""

    server: Server
    name: str
    password: Stretched = field(default_factory=lambda: Stretched(os.urandom(32)))
    account_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    device_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    account_id: bytes = field(default_factory=lambda: os.urandom(16))
    logged_in: LoggedIn | None = None
    recovery_vault: bytes | None = None

    def __post_init__(self) -> None:
        self.device = self.make_device(self.device_key)
        self.list_entry = first_entry(self.account_id, self.account_key, self.device, NOW)
        self.list_state = DeviceListState.begin(self.account_id, self.list_entry)
        self.ticket: bytes | None = None

    @staticmethod
    def make_device(key: Ed25519PrivateKey) -> Device:
        return Device(key.public_key, X25519PrivateKey.generate().public_key, True, NOW)

    @property
    def device_id(self) -> bytes:
        return self.device.device_id

    @property
    def token(self) -> str:
        assert self.logged_in is not None
        return self.logged_in.token

    @property
    def inbox(self) -> bytes:
        assert self.logged_in is not None
        return self.logged_in.inbox

    async def register(self, *, invite: bytes | None = None, keys: int = 2) -> LoggedIn:
        async with open_socket(self.server, "/v1/login") as socket:
            state, request = ClientRegistration.start(self.password)
            challenge = await socket.ask(
                Kind.REGISTER_START,
                RegisterStart(self.name, invite, request),
                RegisterChallenge,
            )
            self.logged_in = await socket.ask(
                Kind.REGISTER_FINISH,
                self.finish_registration(state, challenge.response, keys),
                LoggedIn,
            )
        return self.logged_in

    def finish_registration(
        self, state: ClientRegistration, response: bytes, keys: int = 2
    ) -> RegisterFinish:
        registration = state.finish(response)
        server = self.server.core.identity
        record = proofs.login_record(
            server=server.name,
            name=self.name,
            account_id=self.account_id,
            record_version=1,
            upload=registration.upload,
        )
        proof = proofs.registration(
            server=server.name,
            pin=self.server.pin,
            name=self.name,
            account_id=self.account_id,
            transcript=registration.transcript,
        )
        return RegisterFinish(
            account_id=self.account_id,
            upload=registration.upload,
            record_signature=self.account_key.sign(record),
            device_list_entry=self.list_entry.encode(),
            device_proof=self.device_key.sign(proof),
            vault=b"sealed vault",
            prekeys=prekeys(keys),
            recovery_vault=self.recovery_vault,
        )

    async def log_in(
        self,
        *,
        password: Stretched | None = None,
        device_key: Ed25519PrivateKey | None = None,
        device_id: bytes | None = None,
        pin: bytes | None = None,
    ) -> LoggedIn:
        """Log in; the arguments are what an attacker would have instead."""
        device_key = device_key or self.device_key
        device_id = device_id or self.device_id
        pin = pin or self.server.pin
        server = self.server.core.identity.name
        async with open_socket(self.server, "/v1/login") as socket:
            state, ke1 = ClientLogin.start(password or self.password)
            challenge = await socket.ask(
                Kind.LOGIN_START, LoginStart(self.name, ke1), LoginChallenge
            )
            context = LoginContext(server, self.name, device_id, pin)
            login = state.finish(challenge.ke2, context=context)
            proof = proofs.login(
                server=server,
                pin=pin,
                name=self.name,
                device_id=device_id,
                transcript=login.transcript,
            )
            logged_in = await socket.ask(
                Kind.LOGIN_FINISH,
                LoginFinish(login.ke3, login.binding, device_id, device_key.sign(proof)),
                LoggedIn,
            )
            login.confirm(logged_in.confirmation)
        return logged_in

    @contextlib.asynccontextmanager
    async def live(self, *, positions: list[Position] | None = None) -> AsyncIterator[Socket]:
        """A live socket that has begun."""
        async with open_socket(self.server, "/v1/live", self.token) as socket:
            await self.begin(socket, positions=positions)
            yield socket

    async def begin(
        self, socket: Socket, *, positions: list[Position] | None = None
    ) -> LiveStarted:
        ticket = os.urandom(16)
        started = await socket.ask(
            Kind.LIVE_START, LiveStart(self.ticket, ticket, positions or []), LiveStarted
        )
        self.ticket = ticket
        return started

    async def rest(
        self, kind: Kind, body: msgspec.Struct, response: type[T], *, token: str | None = None
    ) -> T:
        answer = await rest(self.server, kind, encode_body(body), token or self.token)
        if answer.status_code != 200:
            raise rest_error(answer)
        return decode_body(answer.content, response)

    async def talk_to(self, other: Person) -> StreamInfo:
        return await self.rest(
            Kind.CREATE_CONVERSATION,
            CreateConversation(
                os.urandom(16), "direct", [self.account_id, other.account_id], b"genesis"
            ),
            StreamInfo,
        )

    def next_list(self, *devices: Device) -> DeviceListEntry:
        """The entry that follows the list as this person knows it."""
        return next_entry(self.list_state, self.account_key, devices or (self.device,), NOW)

    # --- vault, password and recovery --------------------------------------------------------

    def new_vaults(
        self, number: int = 1, *, vault: bytes = b"next vault", recovery: bytes | None = None
    ) -> NewVaults:
        """Vaults that this person's account key signed."""
        signed = proofs.vaults(
            server=self.server.core.identity.name,
            account_id=self.account_id,
            number=number,
            vault=vault,
            recovery_vault=recovery or b"",
        )
        return NewVaults(number, vault, recovery, self.account_key.sign(signed))

    def signed_upload(self, upload: bytes) -> bytes:
        """The account key's signature over an OPAQUE record."""
        record = proofs.login_record(
            server=self.server.core.identity.name,
            name=self.name,
            account_id=self.account_id,
            record_version=1,
            upload=upload,
        )
        return self.account_key.sign(record)

    def new_password(
        self, password: Stretched | None = None, number: int = 1, **fields: Any
    ) -> PasswordFinish:
        """The second leg of a change of password; the first one needs nobody but the server."""
        state, request = ClientRegistration.start(password or self.password)
        response = self.server.core.opaque.register(request, self.name)
        upload = state.finish(response).upload
        values: dict[str, Any] = {"end_sessions": False, "vaults": self.new_vaults(number)}
        return PasswordFinish(upload, self.signed_upload(upload), **(values | fields))

    async def change_list(self, entry: DeviceListEntry, *, token: str | None = None) -> None:
        await self.rest(
            Kind.APPEND_DEVICE_LIST, AppendDeviceList(entry.encode()), Nothing, token=token
        )
        self.list_state = self.list_state.extend(entry)

    async def second_device(self) -> Person:
        """Put another device on the list and log in with it."""
        other = Person(self.server, self.name, self.password, self.account_key)
        other.account_id = self.account_id
        await self.change_list(self.next_list(self.device, other.device))
        other.list_state = self.list_state
        other.logged_in = await other.log_in()
        return other

    async def say(self, stream: bytes, body: bytes, *to: Person) -> Appended:
        return await self.rest(Kind.APPEND, message(stream, body, *to), Appended)


def message(stream: bytes, body: bytes, *to: Person) -> Append:
    parts = [Part(person.device_id, b"for " + person.name.encode()) for person in to]
    return Append(stream, os.urandom(16), envelope(body), parts)


def rest_client(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=trust(server), trust_env=False, base_url=f"https://127.0.0.1:{server.port}"
    )


async def rest(
    server: Server,
    kind: Kind,
    body: bytes,
    token: str | None = None,
    *,
    client: httpx.AsyncClient | None = None,
) -> httpx.Response:
    """Call one operation, on a connection of its own unless there is a client."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    path = f"/v1/{OPERATIONS[kind].name}"
    if client is not None:
        return await client.post(path, content=body, headers=headers)
    return await raw_post(server, path, body, headers)


async def raw_post(
    server: Server, path: str, body: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    async with rest_client(server) as client:
        return await client.post(path, content=body, headers=headers)


def rest_error(answer: httpx.Response) -> ParlourError:
    return error_from_wire(decode_body(answer.content, ErrorBody).code)


async def register(server: Server, *names: str) -> list[Person]:
    people = [Person(server, name) for name in names]
    for person in people:
        await person.register()
    return people
