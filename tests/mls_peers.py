"""Foreign members of MLS groups, and ours, behind one interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import pytest

from parlour.mls import (
    ApplicationMessage,
    CommitOptions,
    Group,
    PendingCommit,
    StagedCommit,
    WelcomeJoin,
)
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import Remove
from parlour.mls.public.suites import DEFAULT_SUITE, CipherSuite
from parlour.mls.public.types import LeafIndex, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import Person

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "peers"
GROUP = b"interop"
# The foreign ones compare the lifetimes of key packages with the clock of the machine.
NOW = int(time.time())
POLICY = replace(OPEN_POLICY, max_lifetime=None)

TS_MLS_SUITES = {
    1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
    2: "MLS_128_DHKEMP256_AES128GCM_SHA256_P256",
    3: "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
    4: "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448",
    5: "MLS_256_DHKEMP521_AES256GCM_SHA512_P521",
    6: "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448",
    7: "MLS_256_DHKEMP384_AES256GCM_SHA384_P384",
}
Made = tuple[bytes, bytes | None]
"""A commit and the Welcome that belongs to it."""


class Peer:
    """A program that speaks lines of JSON; `benchmarks/peers/install.sh` installs what it needs."""

    def __init__(self, program: str, package: str) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("Node.js is not installed")
        if not (FOLDER / "node_modules" / package).is_dir():
            pytest.skip(f"{package} is not installed: run benchmarks/peers/install.sh")
        self._process = subprocess.Popen(
            [node, str(FOLDER / program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, op: str, **values: Any) -> dict[str, Any]:
        """One request. Byte strings travel as hex; an error of the peer fails the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"op": op, **{name: _plain(value) for name, value in values.items()}}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the peer ended at {op}"
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{op}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PeerFailed(Exception):
    """A peer refused or broke."""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


class Seat(Protocol):
    """What a client at the table does, whoever made it. `agreed` is equal for all members."""

    name: str

    @property
    def identity(self) -> bytes: ...
    def key_package(self) -> bytes: ...
    def create(self) -> None: ...
    def join(self, welcome: bytes) -> None: ...
    def add(self, key_packages: list[bytes]) -> Made: ...
    def update(self) -> Made: ...
    def remove(self, leaf: LeafIndex, identity: bytes) -> Made: ...
    def commit(self) -> Made: ...
    def propose_remove(self, leaf: LeafIndex, identity: bytes) -> bytes: ...
    def merge(self) -> None: ...
    def process(self, message: bytes) -> bytes | None: ...
    def encrypt(self, data: bytes) -> bytes: ...
    def agreed(self) -> bytes: ...


def read_key_package(message: bytes) -> KeyPackage:
    body = decode_message(message)
    assert isinstance(body, KeyPackageMessage)
    return body.key_package


@dataclass(eq=False)
class Ours:
    """A client of this library."""

    name: str
    suite: CipherSuite = DEFAULT_SUITE
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE
    extensions: Extensions = NO_EXTENSIONS
    person: Person = field(init=False)
    bundle: KeyPackageBundle = field(init=False)

    def __post_init__(self) -> None:
        self.person = Person(self.name, self.suite, POLICY)

    @property
    def identity(self) -> bytes:
        return self.name.encode()

    @property
    def group(self) -> Group:
        return self.person.group

    def key_package(self) -> bytes:
        self.bundle = KeyPackageBundle.create(self.person.identity, NOW, random=self.person.random)
        return self.bundle.message

    def create(self) -> None:
        self.person.group = Group.create(
            self.person.identity,
            GROUP,
            NOW,
            extensions=self.extensions,
            policy=POLICY,
            psks=self.person.psks,
            random=self.person.random,
        )

    def join(self, welcome: bytes) -> None:
        join = WelcomeJoin(POLICY, self.person.psks)
        self.person.group, _ = Group.join(welcome, [self.bundle], NOW, join)

    def made(self, *, path: bool = False, **values: Any) -> Made:
        options = CommitOptions(path=path, wire_format=self.wire_format)
        pending = self.group.commit(NOW, options=options, random=self.person.random, **values)
        return pending.commit, pending.welcome

    def add(self, key_packages: list[bytes]) -> Made:
        return self.made(adds=[read_key_package(message) for message in key_packages])

    def update(self) -> Made:
        return self.made(path=True)

    def remove(self, leaf: LeafIndex, identity: bytes) -> Made:
        return self.made(removes=[leaf])

    def commit(self) -> Made:
        return self.made()

    def propose_remove(self, leaf: LeafIndex, identity: bytes) -> bytes:
        return self.group.propose(Remove(leaf), NOW, wire_format=self.wire_format)

    def merge(self) -> None:
        pending = self.group.pending
        assert isinstance(pending, PendingCommit)
        self.group.merge(pending, NOW)

    def process(self, message: bytes) -> bytes | None:
        received = self.group.process(message, NOW)
        if isinstance(received, StagedCommit):
            return None
        return received.data if isinstance(received, ApplicationMessage) else None

    def encrypt(self, data: bytes) -> bytes:
        return self.group.encrypt(data, random=self.person.random)

    def agreed(self) -> bytes:
        return self.group.epoch_authenticator.reveal()


@dataclass(eq=False)
class Theirs:
    """A client of ts-mls."""

    peer: Peer
    name: str
    public: bool = True

    @property
    def identity(self) -> bytes:
        return self.name.encode()

    def ask(self, op: str, **values: Any) -> dict[str, Any]:
        return self.peer.ask(op, client=self.name, **values)

    def key_package(self) -> bytes:
        made = bytes.fromhex(self.ask("key_package")["key_package"])
        if not self.public:
            self.ask("private_handshakes")
        return made

    def create(self) -> None:
        self.key_package()
        self.ask("create", group=GROUP)

    def join(self, welcome: bytes) -> None:
        self.ask("join", welcome=welcome)

    def made(self, op: str, **values: Any) -> Made:
        answer = self.ask(op, **values)
        welcome = answer["welcome"]
        return bytes.fromhex(answer["commit"]), None if welcome is None else bytes.fromhex(welcome)

    def add(self, key_packages: list[bytes]) -> Made:
        return self.made("add", key_packages=key_packages)

    def update(self) -> Made:
        return self.made("update")

    def remove(self, leaf: LeafIndex, identity: bytes) -> Made:
        return self.made("remove", leaf=leaf, identity=identity)

    def commit(self) -> Made:
        return self.made("commit")

    def propose_remove(self, leaf: LeafIndex, identity: bytes) -> bytes:
        answer = self.ask("propose", proposal={"kind": "remove", "leaf": leaf})
        return bytes.fromhex(answer["message"])

    def merge(self) -> None:
        self.ask("merge")

    def process(self, message: bytes) -> bytes | None:
        data = self.ask("process", message=message)["data"]
        return None if data is None else bytes.fromhex(data)

    def encrypt(self, data: bytes) -> bytes:
        return bytes.fromhex(self.ask("encrypt", data=data)["message"])

    def agreed(self) -> bytes:
        return bytes.fromhex(self.ask("authenticator")["authenticator"])


@dataclass(eq=False)
class Table:
    """A group of clients by several implementations, and a delivery service between them."""

    seats: list[Seat]

    @classmethod
    def begin(cls, creator: Seat) -> Table:
        creator.create()
        return cls([creator])

    def check(self) -> None:
        """All agree, and everybody reads what each one says."""
        agreed = {seat.agreed() for seat in self.seats}
        assert len(agreed) == 1, [seat.name for seat in self.seats]
        for sender in self.seats:
            message = sender.encrypt(sender.name.encode())
            for seat in self.seats:
                if seat is not sender:
                    assert seat.process(message) == sender.name.encode()

    def won(self, committer: Seat, commit: bytes) -> None:
        """Everybody goes on."""
        committer.merge()
        for seat in self.seats:
            if seat is not committer:
                seat.process(commit)

    def add(self, committer: Seat, *joiners: Seat) -> None:
        commit, welcome = committer.add([joiner.key_package() for joiner in joiners])
        self.welcome(committer, commit, welcome, *joiners)

    def welcome(
        self, committer: Seat, commit: bytes, welcome: bytes | None, *joiners: Seat
    ) -> None:
        assert welcome is not None
        self.won(committer, commit)
        for joiner in joiners:
            joiner.join(welcome)
            self.seats.append(joiner)
        self.check()

    def update(self, committer: Seat) -> None:
        commit, welcome = committer.update()
        assert welcome is None
        self.won(committer, commit)
        self.check()

    def commit(self, committer: Seat, *proposals: tuple[Seat, bytes]) -> None:
        for sender, proposal in proposals:
            for seat in self.seats:
                if seat is not sender:
                    seat.process(proposal)
        commit, _ = committer.commit()
        self.won(committer, commit)
        self.check()

    def remove(
        self, committer: Seat, leaf: int, gone: Seat, *, proposer: Seat | None = None
    ) -> None:
        self.seats.remove(gone)
        if proposer is None:
            commit, _ = committer.remove(LeafIndex(leaf), gone.identity)
        else:
            proposal = proposer.propose_remove(LeafIndex(leaf), gone.identity)
            for seat in (*self.seats, gone):
                if seat is not proposer:
                    seat.process(proposal)
            commit, _ = committer.commit()
        gone.process(commit)
        self.won(committer, commit)
        self.check()
