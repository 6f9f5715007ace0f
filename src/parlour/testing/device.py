"""A device: a machine with a store in memory, connected to a `MemoryServer`.

`step` is one mutation and its drain, as the real client does it. `Killed` may be raised between
any two steps of it by a test's `fault`; `restart` then goes on from what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from parlour.conversation import content as contents
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import (
    Change,
    DeleteMessage,
    DeleteMessages,
    DeleteRecord,
    Message,
    MessageState,
    Namespace,
    PutEntryHash,
    PutMessage,
    PutRecord,
    ReleaseMessages,
    TrimSilent,
)
from parlour.conversation.contact import Contact
from parlour.conversation.content import Content, Text
from parlour.conversation.events import Event, MessageReceived
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.key_packages import SUPPLY
from parlour.conversation.machine import Machine
from parlour.conversation.records import OwnDevice
from parlour.conversation.requests import LoadHash, LoadMessage, Request
from parlour.conversation.standing import Standing
from parlour.conversation.upkeep import first_upload
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.errors import ParlourError
from parlour.identity.device_list import Device as ListedDevice
from parlour.identity.device_list import first_entry, next_entry
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.testing.memory_server import MemoryServer
from parlour.testing.randomness import seeded
from parlour.wire.directory import LookUp
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry, PushResync

_MAX_ROUNDS = 200
_UNSEEN = (MessageState.UNREADABLE, MessageState.QUEUED)


class Killed(Exception):
    """The process died here."""


class MemoryStore:
    """What a local store keeps, with the rules that `conversation.changes` states."""

    def __init__(self) -> None:
        self.records: dict[Namespace, dict[bytes, bytes]] = {}
        self.messages: dict[tuple[bytes, bytes, bytes], Message] = {}
        self.undelivered: list[tuple[bytes, bytes, bytes]] = []
        self.hashes: dict[tuple[bytes, int], bytes] = {}

    def apply(self, changes: list[Change]) -> list[Message]:
        """Write a batch; the messages that are to be handed out since then."""
        new: list[Message] = []
        for change in changes:
            match change:
                case PutRecord(namespace, key, value):
                    self.records.setdefault(namespace, {})[key] = value
                case DeleteRecord(namespace, key):
                    self.records.get(namespace, {}).pop(key, None)
                case PutMessage(message, undelivered):
                    if self._put_message(message, undelivered=undelivered):
                        new.append(message)
                case ReleaseMessages(conversation):
                    new += self._release(conversation)
                case DeleteMessages(conversation, everything):
                    for message in self._of(conversation, MessageState.REQUESTED, everything):
                        del self.messages[message.key]
                case DeleteMessage(key):
                    known = self.messages.get(key)
                    if known is not None and known.state in _UNSEEN:
                        del self.messages[key]
                case TrimSilent(stored_before):
                    self._trim(stored_before)
                case PutEntryHash(stream, seq, digest):
                    self.hashes[(stream, seq)] = digest
        return new

    def _trim(self, stored_before: int) -> None:
        for message in list(self.messages.values()):
            if message.state is MessageState.SILENT and (message.stored_at or 0) < stored_before:
                del self.messages[message.key]

    def _of(self, conversation: bytes, state: MessageState, everything: bool) -> list[Message]:
        return [
            message
            for message in self.messages.values()
            if message.conversation == conversation and (everything or message.state is state)
        ]

    def _release(self, conversation: bytes) -> list[Message]:
        requested = self._of(conversation, MessageState.REQUESTED, False)
        released = [replace(message, state=MessageState.RECEIVED) for message in requested]
        for message in released:
            self.messages[message.key] = message
            self.undelivered.append(message.key)
        return released

    def _put_message(self, message: Message, *, undelivered: bool) -> bool:
        known = self.messages.get(message.key)
        if known is not None and known.state is MessageState.RECEIVED:
            return False
        self.messages[message.key] = message
        if undelivered:
            self.undelivered.append(message.key)
        return undelivered

    def copy(self) -> MemoryStore:
        """The same, for a backup."""
        other = MemoryStore()
        other.records = {namespace: dict(items) for namespace, items in self.records.items()}
        other.messages = dict(self.messages)
        other.undelivered = list(self.undelivered)
        other.hashes = dict(self.hashes)
        return other


class MemoryDevice:
    """One device of one account, with its own seed: a new account's, or a further one of `beside`.

    With `linked`, the older device hands it a snapshot, as linking does; otherwise it begins
    alone, as after a recovery.

    `fault` is called at each step with its name. It may raise `Killed`, or at "before request" and
    "after request" a `ParlourError`: the request or its answer was lost.
    """

    def __init__(
        self,
        server: MemoryServer,
        name: str,
        *,
        seed: int | str = 0,
        beside: MemoryDevice | None = None,
        account_id: bytes | None = None,
        linked: bool = False,
    ) -> None:
        self.server = server
        self.name = name
        self.random = seeded(f"{name} {seed}")
        self.account_key: Ed25519PrivateKey = (
            Ed25519PrivateKey.generate(self.random) if beside is None else beside.account_key
        )
        self.store = MemoryStore()
        self.events: list[Event] = []
        self.fault: Callable[[str], None] = lambda step: None
        # Whether whoever asks is accepted at once: most stories are not about that.
        self.welcoming = True
        # Few key packages: most stories are about something else.
        self.supply: Mapping[int, int] = dict.fromkeys(SUPPLY, 2)
        # What machines of this process share of groups, if they do; for the next start.
        self.shared: SharedGroups | None = None
        self.online = False
        if beside is not None:
            account_id = beside.machine.account_id
        snapshot = beside.machine.snapshot() if linked and beside is not None else b""
        self._register(account_id or self.random(16), snapshot)
        self.machine: Machine = self._start()

    def _register(self, account_id: bytes, snapshot: bytes) -> None:
        local = LocalDevice.generate(account_id, self.random)
        prekeys = PrekeyStore.create(local, self._seconds, self.random)
        upload, uploaded = first_upload(prekeys)
        prekeys.mark_published(upload)
        identity = local.identity
        listed = ListedDevice(
            identity.signature_key, identity.identity_key, has_kem=True, added_at=self._seconds
        )
        known = self.server.accounts.get(account_id)
        if known is None:
            entry = first_entry(account_id, self.account_key, listed, self._seconds)
            self.server.add_account(self.name, entry, uploaded)
        else:
            state = known.state
            entry = next_entry(state, self.account_key, (*state.devices, listed), self._seconds)
            self.server.add_device(entry, identity.device_id, uploaded)
        own = OwnDevice(
            server="test.example",
            name=self.name,
            account_id=account_id,
            signature_key=local.signature_key.to_bytes(),
            identity_key=local.identity_key.to_bytes(),
            first=known is None,
        )
        self.store.apply(first_changes(own, Contact(self.name, entry), prekeys, snapshot))

    @property
    def _seconds(self) -> int:
        return self.server.now // 1000

    def _start(self) -> Machine:
        return Machine(
            self.store.records,
            self.server.now,
            random=self.random,
            supply=self.supply,
            shared=self.shared,
        )

    # --- Life ----------------------------------------------------------------------------

    def restart(self) -> None:
        """Start again from what was written."""
        self.online = False
        self.machine = self._start()

    def connect(self) -> None:
        """Begin a connection, and settle."""
        started = self.server.live_start(self.machine.device_id, self.machine.positions())
        self.online = True
        self.machine.connected(started, self.server.now)
        self.settle()

    def disconnect(self) -> None:
        """Lose the connection."""
        self.online = False
        self.machine.disconnected()

    def remove(self, other: MemoryDevice) -> None:
        """Take another device off the account's list."""
        account = self.server.accounts[self.machine.account_id]
        left = tuple(
            device
            for device in account.state.devices
            if device.device_id != other.machine.device_id
        )
        entry = next_entry(account.state, self.account_key, left, self._seconds)
        account.entries.append(entry.encode())

    def meet(self, name: str) -> bytes:
        """Look an account up by name."""
        page = self.server.request(self.machine.device_id, Kind.LOOK_UP, LookUp(name))
        account_id = self.machine.found(page, self.server.now, name)  # type: ignore[arg-type]
        self._write()
        return account_id

    def say(self, name: str, text: str) -> bytes:
        """Say something to an account that is known, and settle."""
        contact = self.machine.contact_named(name)
        account_id = self.meet(name) if contact is None else contact.account_id
        message_id = self.machine.send(account_id, self.content(text), self.server.now)
        self.settle()
        return message_id

    def content(self, text: str) -> Content:
        """Text as content."""
        return Text(text)

    # --- Steps ---------------------------------------------------------------------------

    def _write(self) -> None:
        changes = self.machine.changes()
        self.fault("before write")
        unseen = {message.key: message for message in self.store.apply(changes)}
        self.fault("after write")
        while (event := self.machine.next_event()) is not None:
            # Of messages those that the store says are new, as the real client does it.
            if isinstance(event, MessageReceived) and unseen.pop(event.message.key, None) is None:
                continue
            self.events.append(event)
        for message in unseen.values():
            self.events.append(MessageReceived(message, contents.decode(message.content)))
        if self.welcoming:
            self._welcome()

    def _welcome(self) -> None:
        """Say yes to whoever waits for it, also since before a restart."""
        waiting = [
            contact.account_id
            for contact in self.machine.contacts.values()
            if contact.standing is Standing.REQUESTED
        ]
        for account_id in waiting:
            self.machine.accept_request(account_id, self.server.now)
        if waiting:
            self._write()

    def settle(self) -> None:
        """Write, ask and answer until nothing more is to be done."""
        for _ in range(_MAX_ROUNDS):
            requests = self.machine.outgoing(self.server.now)
            self._write()
            if not requests:
                return
            for request in requests:
                self._answer(request)
                self._write()
        raise RuntimeError("the machine does not come to rest")

    def _answer(self, request: Request) -> None:
        if isinstance(request, LoadMessage):
            key = (request.conversation, self.machine.device_id, request.message_id)
            message = self.store.messages.get(key)
            self.machine.loaded(request.message_id, message, self.server.now)
            return
        if isinstance(request, LoadHash):
            digest = self.store.hashes.get((request.stream, request.seq))
            self.machine.loaded_hash(request.stream, request.seq, digest)
            return
        try:
            self.fault("before request")
            answer = self.server.request(self.machine.device_id, request.kind, request.body)
            self.fault("after request")
        except ParlourError as error:
            self.machine.failed(request, error, self.server.now)
            return
        self.machine.answered(request, answer, self.server.now)

    def pull(self) -> None:
        """Take in what was appended meanwhile, as pushes would bring it."""
        for position in self.machine.positions():
            for entry in self.server.entries_for(
                self.machine.device_id, position.stream, position.seq
            ):
                self.machine.pushed(PushEntry(entry), self.server.now)
                self._write()
        self.machine.pushed(PushResync(), self.server.now)
        self.settle()

    def wait(self, milliseconds: int) -> None:
        """Let time pass on the server's clock, which is ours, and do what is due."""
        self.server.now += milliseconds
        self.machine.handle_timeout(self.server.now)
        self.settle()

    # --- Looking -------------------------------------------------------------------------

    def texts(self) -> list[str]:
        """Everything that was received, in the order of the server's numbers."""
        received = [
            message
            for message in self.store.messages.values()
            if message.state is MessageState.RECEIVED
        ]
        decoded = [contents.decode(m.content) for m in sorted(received, key=lambda m: m.seq or 0)]
        return [item.text for item in decoded if isinstance(item, Text)]
