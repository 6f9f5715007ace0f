"""Groups at a server, for tests: devices with MLS, rosters, and the services that they speak to.

What a room's devices send is right unless a test changes it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from parlour.identity.device_list_entry import DeviceListEntry
from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    Group,
    Identity,
    KeyPackageBundle,
    PendingCommit,
    Policy,
    StagedCommit,
    WelcomeJoin,
    decode_message,
    join_welcome_parts,
    split_welcome,
)
from parlour.mls.private.group import PendingJoin
from parlour.mls.public.capabilities import Capabilities, RequiredCapabilities
from parlour.mls.public.credentials import Credential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.messages import PublicMessage
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import GroupContextExtensions, Proposal, Remove
from parlour.mls.public.suites import DEFAULT_SUITE, find_suite
from parlour.mls.public.types import ExtensionType, LeafIndex
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster import (
    EXTENSION_TYPE,
    Added,
    Change,
    Genesis,
    Kind,
    LeafCertificate,
    ReaddWish,
    Role,
    Roster,
    RosterEntry,
    encode_change,
    leave_statement,
)
from parlour.roster.device_signature import FindKey, device_id_of
from parlour.roster.restart import sign_restart
from parlour.server.groups import GroupService, Members
from parlour.server.groups.tracked import mls_group_id
from parlour.server.hub import Hub
from parlour.server.limits import Limits
from parlour.server.sessions import Grant
from parlour.server.store import NewAccount, NewToken
from parlour.server.store.records import NewDevice
from parlour.server.store.sqlite import SqliteStore
from parlour.server.streams import StreamService
from parlour.testing.mls import TrustEveryone
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.groups import (
    CommitBody,
    CreateGroup,
    Handled,
    Handshake,
    ProposalBody,
    ReadGroup,
    RestartBody,
    RestartGroup,
    encode_body,
)
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Append, Appended, Entry, Part, Read, StreamKind

NOW = 1_800_000_000_000
SECONDS = NOW // 1000


class Believing(TrustEveryone):
    """Believes what certificates say: here the server is tested, not the clients."""

    def identity(self, credential: Credential) -> bytes:
        assert isinstance(credential, BasicCredential)
        return LeafCertificate.decode(credential.identity).device


POLICY = Policy(Believing(), external_commits=True, resync=True)
KINDS: dict[Kind, StreamKind] = {
    Kind.DIRECT: "direct",
    Kind.SELF: "self",
    Kind.GROUP: "group",
    Kind.FAMILY: "family",
    Kind.CHANNEL: "channel",
}
_numbers = itertools.count(1)


def unique() -> bytes:
    """16 bytes that no other call gives."""
    return hashlib.sha256(next(_numbers).to_bytes(8)).digest()[:16]


def account_key_of(account: bytes) -> Ed25519PrivateKey:
    """The account key of an account, unless a test gives it another one."""
    return Ed25519PrivateKey(hashlib.sha256(b"account key" + account).digest())


class Device:
    """A device with its leaf key; `group` while it is in one."""

    def __init__(
        self,
        name: str,
        account: bytes | None = None,
        key: Ed25519PrivateKey | None = None,
        now: int = SECONDS,
    ) -> None:
        self.name = name
        self.account = unique() if account is None else account
        self.account_key = account_key_of(self.account)
        self.key = key or Ed25519PrivateKey.generate()
        self.now = now
        self.id = device_id_of(self.key.public_key)
        self.grant = Grant(unique(), self.account, self.id, NOW * 2, NOW)
        self.identity = self.certified()
        self.bundles: list[KeyPackageBundle] = []
        self.group: Group | None = None

    def __repr__(self) -> str:
        return self.name

    def certified(self, *, days: int = 90, **changes: Any) -> Identity:
        """A fresh leaf key under a certificate of this device, or what an attacker would have."""
        signer = Ed25519PrivateKey.generate()
        certificate = LeafCertificate.create(
            self.key,
            account=self.account,
            leaf_key=signer.public_key.to_bytes(),
            issued_at=self.now - 3_600,
            expires_at=self.now + days * 86_400,
        )
        credential = BasicCredential(replace(certificate, **changes).encode())
        known = Capabilities()
        capabilities = replace(known, extensions=(*known.extensions, EXTENSION_TYPE))
        return Identity(credential, signer, DEFAULT_SUITE, capabilities)

    def added(self, role: Role = Role.MEMBER) -> Added:
        """The change by which its account comes in, under the key that it shows."""
        return Added(self.account, role, self.account_key.public_key.to_bytes())

    def key_package(self) -> KeyPackage:
        """A fresh key package, whose bundle is kept."""
        bundle = KeyPackageBundle.create(self.identity, self.now)
        self.bundles.append(bundle)
        return bundle.key_package

    @property
    def live(self) -> Group:
        """The group that it is in."""
        assert self.group is not None
        return self.group


class Heard:
    """A live connection that only listens."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.ended = False
        self.frames: list[bytes] = []

    def push(self, frame: bytes) -> None:
        self.frames.append(frame)

    def hold(self) -> None:
        pass

    def end(self, status: int, code: object = None) -> None:
        self.ended = True


class Services:
    """The server's services over a store in a folder. `restart` is what a crash leaves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now = NOW

    def clock(self) -> int:
        return self.now

    async def open(self) -> Services:
        self.store = await SqliteStore.open(self._folder, name="parlour.example")
        self.forget()
        return self

    def forget(self) -> None:
        """Begin again with what is in the database, and nothing else."""
        self.hub, members = Hub(), Members()
        limits = Limits(self.clock)
        self.groups = GroupService(self.store, self.hub, limits, self.clock, members)
        self.streams = StreamService(self.store, self.hub, self.clock, members)

    async def close(self) -> None:
        await self.store.close()

    async def device(self, name: str) -> Device:
        """An account with one device."""
        device = Device(name)
        await self.store.accounts.register(
            NewAccount(
                account_id=device.account,
                name=f"{name}{next(_numbers)}",
                record=b"\x01record",
                record_signature=b"signature",
                vault=b"vault",
                list_entry=list_entry(device.account, device.account_key, 0),
                device=_listed(device),
                prekeys=[],
                token=NewToken(unique(), NOW, NOW * 2),
                invite=None,
            ),
            now=NOW,
        )
        self._lists()[device.account] = [device]
        return device

    async def devices(self, *names: str) -> list[Device]:
        return [await self.device(name) for name in names]

    async def another(self, first: Device, name: str) -> Device:
        """A further device of an account."""
        device = Device(name, first.account)
        await self._set_list(first.account, [*self._lists()[first.account], device])
        return device

    async def unlist(self, device: Device) -> None:
        """A device leaves its account's list."""
        left = [each for each in self._lists()[device.account] if each is not device]
        await self._set_list(device.account, left)

    async def show_another_key(self, device: Device) -> None:
        """From now on the account's list is signed by a key that nobody has seen before."""
        device.account_key = Ed25519PrivateKey.generate()
        await self._set_list(device.account, self._lists()[device.account])

    def _lists(self) -> dict[bytes, list[Device]]:
        known: dict[bytes, list[Device]] = self.__dict__.setdefault("lists", {})
        return known

    async def _set_list(self, account: bytes, devices: list[Device]) -> None:
        self._lists()[account] = devices
        pages = await self.store.devices.list_page(account, 0, 1000)
        key = devices[0].account_key if devices else account_key_of(account)
        entry = list_entry(account, key, len(pages[0]))
        await self.store.devices.append_list(
            account, len(pages[0]), entry, [_listed(each) for each in devices], now=self.now
        )

    def listen(self, device: Device) -> Heard:
        heard = Heard(device.grant)
        self.hub.connect(heard)
        return heard


def list_entry(account: bytes, key: Ed25519PrivateKey, number: int) -> bytes:
    """An entry of a list as far as groups look into it."""
    return DeviceListEntry(account, key.public_key, number, b"", SECONDS, ()).sign(key).encode()


def _listed(device: Device) -> NewDevice:
    return NewDevice(device.id, device.key.public_key.to_bytes(), inbox=device.id)


@dataclass
class Room:
    """A conversation as its honest members know it."""

    services: Services
    genesis: Genesis
    roster: Roster
    devices: list[Device]
    """Those that have a leaf."""
    known: list[Device] = field(default_factory=list)
    generation: int = 0
    wishes: int = 0

    @classmethod
    def planned(
        cls, services: Services, creator: Device, kind: Kind, *others: Device, **fields: Any
    ) -> Room:
        """What the creator has made before anybody knows of it."""
        genesis = Genesis.create(
            creator.key,
            kind=kind,
            suite=DEFAULT_SUITE.id,
            stream=unique(),
            roster_id=unique(),
            creator_account=creator.account,
            created_at=services.now,
            **fields,
        )
        fixed = kind in (Kind.DIRECT, Kind.SELF)
        role = Role.MEMBER if fixed else Role.OWNER
        changes = [Added(creator.account, role) if fixed else creator.added(role)]
        changes += [Added(each.account, Role.MEMBER) if fixed else each.added() for each in others]
        entry = Roster.founding_entry(genesis, changes, creator.key)
        known = [creator, *others]
        roster = Roster.found(genesis, entry, find_key_of(known))
        room = cls(services, genesis, roster, [creator], known)
        creator.group = room.beginning(creator, roster, 0)
        return room

    @classmethod
    async def found(
        cls, services: Services, creator: Device, kind: Kind = Kind.GROUP, **fields: Any
    ) -> Room:
        room = cls.planned(services, creator, kind, **fields)
        await services.groups.create(creator.grant, room.creation(creator))
        return room

    @classmethod
    async def of(cls, services: Services, *devices: Device, **fields: Any) -> Room:
        """A group of which all these are members; the first one founded it."""
        room = await cls.found(services, devices[0], **fields)
        if len(devices) > 1:
            await room.add(devices[0], *devices[1:])
        return room

    @property
    def stream(self) -> bytes:
        return self.genesis.stream

    @property
    def find_key(self) -> FindKey:
        return find_key_of(self.known)

    # --- What is sent --------------------------------------------------------------------

    def beginning(self, device: Device, roster: Roster, generation: int) -> Group:
        """Epoch 0 of a generation, of one leaf."""
        required = RequiredCapabilities(extension_types=(EXTENSION_TYPE,))
        extensions = Extensions.of(
            [
                Extension(ExtensionType.REQUIRED_CAPABILITIES, required.encode()),
                Extension(EXTENSION_TYPE, roster.binding.encode()),
            ]
        )
        return Group.create(
            device.identity,
            mls_group_id(self.stream, generation),
            self.services.now // 1000,
            policy=POLICY,
            extensions=extensions,
        )

    def creation(self, creator: Device, **fields: Any) -> CreateGroup:
        values: dict[str, Any] = {
            "stream": self.stream,
            "kind": KINDS[self.genesis.kind],
            "genesis": self.genesis.encode(),
            "roster": self.roster.head.encode(),
            "group_info": creator.live.group_info(ratchet_tree=False),
            "tree": creator.live.tree(),
        }
        return CreateGroup(**(values | fields))

    def entry(self, by: Device, *changes: Change) -> RosterEntry:
        return self.roster.next_entry(
            changes, by.account, by.id, by.key, self.services.now, self.find_key
        )

    def commit(
        self,
        by: Device,
        *changes: Change,
        adds: Sequence[KeyPackage] = (),
        removes: Iterable[Device] = (),
        proposals: Sequence[Proposal] = (),
        entries: Sequence[RosterEntry] | None = None,
        bind: bytes | None = None,
        wishes: Sequence[ReaddWish] | None = None,
        **options: Any,
    ) -> Handshake:
        """A commit that is right, but for what a test changes of it."""
        removes = list(removes)
        if wishes is None:
            coming = {device_of(package): package for package in adds}
            wishes = [
                self.wish(each, package=reference_of(coming[each.id]))
                for each in removes
                if each.id in coming
            ]
        if entries is None:
            entries = [self.entry(by, *changes)] if changes else []
        roster = self.roster
        for entry in entries:
            roster = Roster(roster.genesis, roster.state, entry)
        group = by.live
        binding = roster.binding.encode() if bind is None else bind
        all_proposals = list(proposals)
        if group.extensions.find(EXTENSION_TYPE) != binding:
            bound = group.extensions.with_(Extension(EXTENSION_TYPE, binding))
            all_proposals.append(GroupContextExtensions(bound))
        unwanted = frozenset(
            sent.reference
            for sent in group.proposals
            if isinstance(sent.proposal, Remove) and sent.reference is not None
        )
        options = {"group_info": True, "ratchet_tree": False, "unwanted": unwanted, **options}
        pending = group.commit(
            self.services.now // 1000,
            adds=adds,
            removes=[self.leaf(by, each) for each in removes],
            proposals=all_proposals,
            options=CommitOptions(**options),
        )
        return self.handshake(by, pending, adds, entries, wishes)

    def wish(self, device: Device, **fields: Any) -> ReaddWish:
        """The wish of a device to be taken out and in again; each is newer than the one before."""
        self.wishes += 1
        values: dict[str, Any] = {
            "stream": self.stream,
            "generation": self.generation,
            "epoch": 0,
            "account": device.account,
            "device": device.id,
            "package": bytes(32),
            "at": self.services.now + self.wishes,
        }
        return ReaddWish(**(values | fields)).sign(device.key)

    def handshake(
        self,
        by: Device,
        pending: PendingCommit,
        adds: Sequence[KeyPackage],
        entries: Sequence[RosterEntry],
        wishes: Sequence[ReaddWish] = (),
    ) -> Handshake:
        info, parts = b"", []
        if pending.welcome is not None:
            info, secrets = split_welcome(pending.welcome)
            for package in adds:
                owner = device_of(package)
                parts.append(Part(owner, secrets[package.reference(DEFAULT_SUITE)]))
        body = CommitBody(
            self.generation,
            pending.commit,
            [entry.encode() for entry in entries],
            info,
            [wish.encode() for wish in wishes],
        )
        return Handshake(
            self.stream,
            unique(),
            self.generation,
            by.live.epoch,
            Envelope(1, SuiteId.MLS_COMMIT, b"", encode_body(body)),
            parts,
            pending.group_info or b"",
        )

    def leave(self, by: Device, proposal: Proposal | None = None, **fields: Any) -> Handshake:
        """The proposal by which an account asks to be taken out, or another one."""
        member = self.roster.state.members.get(by.account)
        statement = leave_statement(
            self.genesis.roster_id, by.account, member.since if member else 0, by.key
        )
        message = by.live.propose(proposal or Remove(by.live.own_leaf), self.services.now // 1000)
        values: dict[str, Any] = {
            "generation": self.generation,
            "proposal": message,
            "evidence": encode_change(statement),
        }
        return self.proposal(by, ProposalBody(**(values | fields)))

    def proposal(self, by: Device, body: ProposalBody) -> Handshake:
        envelope = Envelope(1, SuiteId.MLS_PROPOSAL, b"", encode_body(body))
        return Handshake(self.stream, unique(), self.generation, by.live.epoch, envelope, [], b"")

    def external(
        self,
        by: Device,
        state: Any,
        entries: Sequence[RosterEntry] = (),
        *,
        resync: LeafIndex | None = None,
        policy: Policy = POLICY,
        names: Sequence[RosterEntry] | None = None,
    ) -> tuple[Handshake, PendingJoin]:
        """The commit by which a device comes in by itself; it names `entries`, or others."""
        join = ExternalJoin(
            policy,
            resync=resync,
            ratchet_tree=state.tree,
            authenticated_data=RosterEntry.brought(entries if names is None else names),
            group_info=True,
        )
        pending = Group.join_external(
            state.group_info, by.identity, self.services.now // 1000, join
        )
        roster = [entry.encode() for entry in entries]
        body = CommitBody(self.generation, pending.commit, roster, b"")
        envelope = Envelope(1, SuiteId.MLS_COMMIT, b"", encode_body(body))
        return (
            Handshake(
                self.stream,
                unique(),
                self.generation,
                state.epoch,
                envelope,
                [],
                pending.group_info or b"",
            ),
            pending,
        )

    def restart(self, by: Device, *changes: Change, **fields: Any) -> tuple[RestartGroup, Group]:
        """The beginning of the next generation, made by one member."""
        entries = [self.entry(by, *changes)] if changes else []
        roster = self.roster
        for entry in entries:
            roster = roster.extend(entry, self.find_key)
        generation = self.generation + 1
        group = self.beginning(by, roster, generation)
        group_info = group.group_info(ratchet_tree=False)
        digest = sha256(group_info)
        signature = sign_restart(self.stream, generation, digest, roster.head_hash, by.key)
        encoded = [entry.encode() for entry in entries]
        body = RestartBody(generation, encoded, "broken", digest, signature)
        values: dict[str, Any] = {
            "stream": self.stream,
            "client_id": unique(),
            "generation": generation,
            "epoch": by.live.epoch,
            "envelope": Envelope(1, SuiteId.MLS_RESTART, b"", encode_body(body)),
            "group_info": group_info,
            "tree": group.tree(),
        }
        return RestartGroup(**(values | fields)), group

    def message(self, by: Device, data: bytes = b"hello", **fields: Any) -> Append:
        values: dict[str, Any] = {
            "stream": self.stream,
            "client_id": unique(),
            "envelope": Envelope(1, SuiteId.MLS_MESSAGE, b"", by.live.encrypt(data)),
            "parts": [],
        }
        return Append(**(values | fields))

    # --- What comes of it ----------------------------------------------------------------

    async def send(self, by: Device, request: Handshake) -> Handled:
        """Send a handshake that wins, and let everybody follow it."""
        handled = await self.services.groups.handshake(by.grant, request)
        assert handled.seq, "lost"
        await self.follow(by, request)
        return handled

    async def follow(self, by: Device, request: Handshake) -> None:
        """Let all honest devices follow what has won."""
        if request.envelope.suite == SuiteId.MLS_PROPOSAL:
            body = msgspec.msgpack.decode(request.envelope.body, type=tuple[int, ProposalBody])[1]
            for device in self.devices:
                if device is not by:
                    device.live.receive(body.proposal, self.services.now // 1000)
            return
        commit = commit_body(request)
        for data in commit.roster:
            self.roster = self.roster.extend(RosterEntry.decode(data), self.find_key)
        for device in list(self.devices):
            group = device.live
            if device is by and group.pending is not None:
                group.merge(group.pending, self.services.now // 1000)
                continue
            if group.pending is not None:
                group.clear_pending()
            staged = group.receive(commit.commit, self.services.now // 1000)
            assert isinstance(staged, StagedCommit)
            group.merge(staged, self.services.now // 1000)
            if not group.is_active:
                self.devices.remove(device)
                device.group = None
        for part in request.parts:
            await self.join(part, commit)

    async def join(self, part: Part, commit: CommitBody) -> None:
        """A new device joins by its part, with the tree as the server has it."""
        device = next(each for each in self.known if each.id == part.device_id)
        state = await self.services.groups.read(
            device.grant, ReadGroup(self.stream, self.generation, epoch_after(commit))
        )
        welcome = join_welcome_parts(DEFAULT_SUITE.id, commit.welcome, part.data)
        group, used = Group.join(
            welcome,
            device.bundles,
            self.services.now // 1000,
            WelcomeJoin(POLICY, ratchet_tree=state.tree),
        )
        device.bundles.remove(used)
        device.group = group
        self.devices.append(device)

    async def add(self, by: Device, *others: Device, role: Role = Role.MEMBER) -> Handled:
        """Add devices; their accounts come onto the roster if they are not."""
        self.known += [each for each in others if each not in self.known]
        accounts = {each.account: each for each in others}
        members = self.roster.state.members
        changes = [each.added(role) for key, each in accounts.items() if key not in members]
        packages = [each.key_package() for each in others]
        return await self.send(by, self.commit(by, *changes, adds=packages))

    async def say(self, by: Device, data: bytes = b"hello", **fields: Any) -> Appended:
        return await self.services.streams.append(by.grant, self.message(by, data, **fields))

    async def entries(self, device: Device) -> list[Entry]:
        page = await self.services.streams.read(device.grant, Read(self.stream, 0, MAX_PAGE))
        return page.entries

    def leaf(self, seen_by: Device, device: Device) -> LeafIndex:
        """At which leaf a device stands."""
        for index, leaf in seen_by.live.members:
            assert isinstance(leaf.credential, BasicCredential)
            if LeafCertificate.decode(leaf.credential.identity).device == device.id:
                return index
        raise AssertionError(f"{device} has no leaf")


def commit_body(request: Handshake) -> CommitBody:
    return msgspec.msgpack.decode(request.envelope.body, type=tuple[int, CommitBody])[1]


def with_body(request: Handshake, **fields: Any) -> Handshake:
    """A commit whose body says something else in these fields."""
    body = msgspec.structs.replace(commit_body(request), **fields)
    envelope = msgspec.structs.replace(request.envelope, body=encode_body(body))
    return msgspec.structs.replace(request, envelope=envelope)


def epoch_after(commit: CommitBody) -> int:
    """The epoch that a commit leads to."""

    message = decode_message(commit.commit)
    assert isinstance(message, PublicMessage)
    return message.content.epoch + 1


def device_of(package: KeyPackage) -> bytes:
    credential = package.leaf_node.credential
    assert isinstance(credential, BasicCredential)
    return LeafCertificate.decode(credential.identity).device


def reference_of(package: KeyPackage) -> bytes:
    return package.reference(find_suite(package.cipher_suite))


def find_key_of(devices: Iterable[Device]) -> FindKey:
    known = {(each.account, each.id): each.key.public_key for each in devices}
    return lambda account, device: known.get((account, device))
