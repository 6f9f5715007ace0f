"""The peers of the MLS benchmark.

Everybody else of a peer's group is a client of ours: of each peer there are two, number 0, who
creates the group, and the last one, who joins. Peers that run in Node.js keep the time themselves.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.mls_scene import Scene, WarmHost, client_name, make_bundle
from benchmarks.mls_subjects import TEXT, held_bytes, milliseconds

PEERS = Path(__file__).resolve().parent / "peers"
SUITE = "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
# MLSMessage: version, wire format.
ENVELOPE = 4
# Of a group whose memory is measured: the collector of Node.js is not exact.
COPIES = 4
# Numbers of clients that are added later; those of a group are smaller.
FIRST_FURTHER = 1_000_000
FIRST_CLIENT = 2_000_000


class Absent(Exception):
    """A peer that is not installed, and what to do about it."""


class Unable(Exception):
    """An operation that a peer refuses in a state of its own making."""


class Peer:
    """What the peers have in common: an operation is a method that returns milliseconds."""

    name: str
    operations: frozenset[str] = frozenset(
        (
            *("create", "join", "add", "process_add", "update_fresh", "update_warm"),
            *("process_update_warm", "remove", "process_remove", "encrypt", "decrypt"),
            *("commit_bytes", "welcome_bytes", "group_bytes"),
        )
    )
    scene: Scene

    def prepare(self, n: int, now: int) -> None:
        """Make ready for groups of `n`."""
        raise NotImplementedError

    def time(self, op: str, count: int) -> list[float]:
        run: Callable[[], float] = getattr(self, op)
        return [run() for _ in range(count)]


class NodePeer(Peer):
    """A script that reads one request a line; names of clients are made up as they come."""

    def __init__(self, package: str, script: str, suite: dict[str, object]) -> None:
        node = shutil.which("node")
        if node is None or not (PEERS / "node_modules" / package).is_dir():
            raise Absent(f"{package} (run `make peers`)")
        self._package = package
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [node, "--expose-gc", str(PEERS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = f"{package} {self.ask('suite', **suite)['version']}"
        self._clients = 0
        self._warm: tuple[str, str] | None = None

    def ask(self, op: str, **fields: object) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise Absent(f"{self._package} (it has no pipes)")
        self._process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise Unable(f"{self.name}: {op}: {answer['error'][-400:]}")
        return answer

    def took(self, *answers: Any) -> float:
        return float(sum(answer["us"] for answer in answers) / 1_000)

    def client(self) -> tuple[str, str]:
        """A new client: its name, its key package as it comes out of the peer."""
        self._clients += 1
        # As long as the names of ours.
        name = client_name(FIRST_CLIENT + self._clients).decode()
        return name, self.ask("key_package", client=name)["key_package"]

    def warm_pair(self) -> tuple[str, str]:
        """Two clients, the first and the last member of a warm group. At first they are unmerged.

        They come one after the other: ts-mls refuses trees with several unmerged leaves.
        """
        first, first_package = self.client()
        last, last_package = self.client()
        host = WarmHost(self.scene)
        _, welcome = host.invite(self.unpacked(first_package))
        self.ask("join", client=first, welcome=welcome.hex())
        host.process(bytes.fromhex(self.refresh(first)))
        commit, welcome = host.invite(self.unpacked(last_package))
        self.ask("process", client=first, message=commit.hex())
        self.ask("join", client=last, welcome=welcome.hex())
        return first, last

    def refresh(self, client: str) -> str:
        """A client's commit that changes nothing but its keys; it counts."""
        commit: str = self.ask("update", client=client)["commit"]
        self.ask("merge", client=client)
        return commit

    def warmed(self) -> tuple[str, str]:
        """The first and the last member of a warm group, both merged."""
        if self._warm is None:
            first, last = self.fresh_pair() if self.scene.n == 2 else self.warm_pair()
            self.ask("process", client=first, message=self.refresh(last))
            self.ask("process", client=last, message=self.refresh(first))
            self._warm = (first, last)
        return self._warm

    def fresh_pair(self) -> tuple[str, str]:
        """The first and the last member after nothing but the commit that added everybody."""
        raise NotImplementedError

    # Only ts-mls wants and gives MLSMessage in place of KeyPackage.
    ENVELOPED = False

    def unpacked(self, key_package: str) -> bytes:
        """A key package as it comes out of the peer."""
        return bytes.fromhex(key_package)[ENVELOPE if self.ENVELOPED else 0 :]

    def packed(self, key_package: bytes) -> str:
        """A key package as it goes into the peer."""
        return ((b"\x00\x01\x00\x05" if self.ENVELOPED else b"") + key_package).hex()


class TsMls(NodePeer):
    """npm ts-mls. Its states are immutable, so each operation begins where the last one did."""

    ENVELOPED = True

    def __init__(self) -> None:
        super().__init__("ts-mls", "mls_tsmls.mjs", {"name": SUITE})

    def prepare(self, n: int, now: int) -> None:
        self.scene = Scene.make(n, now)
        self._first, _ = self.client()
        self._last, last_package = self.client()
        self._group = 0
        self._packages = [*map(self.packed, self.scene.added[:-1]), last_package]
        self._add = self._remove = self._message = ""
        self._warm = None
        self._made: Any = None
        self._joined = False

    def create(self) -> float:
        self._group += 1
        created = self.ask("create", client=self._first, group=self._group.to_bytes(8).hex())
        added = self.ask("add", client=self._first, key_packages=self._packages)
        merged = self.ask("merge", client=self._first)
        self._made = added
        self._joined = False
        return self.took(created, added, merged)

    def _ready(self) -> None:
        if self._made is None:
            self.create()
        if not self._joined:
            self.join()

    def join(self) -> float:
        if self._made is None:
            self.create()
        self._joined = True
        return self.took(self.ask("join", client=self._last, welcome=self._made["welcome"]))

    def add(self) -> float:
        self._ready()
        further = self.packed(self.scene.further.key_package.encoded)
        made = self.ask("add", client=self._first, key_packages=[further])
        self._add = made["commit"]
        return self.took(made)

    def _processed(self, client: str, message: str) -> float:
        return self.took(self.ask("process", client=client, message=message, keep=True))

    def process_add(self) -> float:
        self.add()
        return self._processed(self._last, self._add)

    def update_fresh(self) -> float:
        self._ready()
        return self.took(self.ask("update", client=self._first))

    def remove(self) -> float:
        self._ready()
        made = self.ask("remove", client=self._first, leaf=self.scene.removed)
        self._remove = made["commit"]
        return self.took(made)

    def process_remove(self) -> float:
        self.remove()
        return self._processed(self._last, self._remove)

    def fresh_pair(self) -> tuple[str, str]:
        first, _ = self.client()
        last, package = self.client()
        self.ask("create", client=first, group=b"warm".hex())
        made = self.ask("add", client=first, key_packages=[package])
        self.ask("merge", client=first)
        self.ask("join", client=last, welcome=made["welcome"])
        return first, last

    def update_warm(self) -> float:
        return self.took(self.ask("update", client=self.warmed()[0]))

    def process_update_warm(self) -> float:
        first, last = self.warmed()
        return self._processed(last, self.ask("update", client=first)["commit"])

    def encrypt(self) -> float:
        self._ready()
        made = self.ask("encrypt", client=self._first, data=TEXT.hex())
        self._message = made["message"]
        return self.took(made)

    def decrypt(self) -> float:
        self.encrypt()
        return self.took(self.ask("process", client=self._last, message=self._message))

    def commit_bytes(self) -> float:
        return len(self.ask("update", client=self.warmed()[0])["commit"]) / 2

    def welcome_bytes(self) -> float:
        self._ready()
        return len(self._made["welcome"]) / 2

    def group_bytes(self) -> float:
        self._ready()
        welcome = self._made["welcome"]
        held = self.ask("held", client=self._last, welcome=welcome, copies=COPIES)
        return float(held["bytes"])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two clients of core-crypto in one group: its creator and its last member."""

    first: str
    last: str
    welcome: str


class CoreCrypto(NodePeer):
    """npm @wireapp/core-crypto: OpenMLS in WebAssembly, with its store in memory.

    A commit of its own is merged at once, and the first path warms the tree, so update and remove
    in a fresh tree use a group up. What is made for the sake of another operation is timed as well.
    What a group occupies cannot be told: the module's memory only grows.
    """

    operations = Peer.operations - {"group_bytes"}

    def __init__(self) -> None:
        super().__init__("@wireapp/core-crypto", "mls_corecrypto.mjs", {"number": 1})

    def prepare(self, n: int, now: int) -> None:
        self.scene = Scene.make(n, now)
        self._created: list[Pair] = []
        self._fresh: list[Pair] = []
        self._warm = None
        self._added: tuple[Pair, str] | None = None
        self._removed: tuple[Pair, str] | None = None
        self._message = ""
        self._welcome = ""
        self._spare: dict[str, list[float]] = {"create": [], "join": []}
        self._further = FIRST_FURTHER

    # --- Groups ---

    def _create(self) -> float:
        first, _ = self.client()
        last, package = self.client()
        packages = [*(data.hex() for data in self.scene.added[:-1]), package]
        created = self.ask("create", client=first, group=first.encode().hex())
        added = self.ask("add", client=first, key_packages=packages)
        self._welcome = added["welcome"]
        self._created.append(Pair(first, last, self._welcome))
        return self.took(created, added)

    def _join(self) -> float:
        if not self._created:
            self._spare["create"].append(self._create())
        pair = self._created.pop()
        joined = self.ask("join", client=pair.last, welcome=pair.welcome)
        self._fresh.append(pair)
        return self.took(joined)

    def _take(self) -> Pair:
        """Two members of a group whose tree is fresh."""
        if not self._fresh:
            self._spare["join"].append(self._join())
        return self._fresh.pop()

    def create(self) -> float:
        return self._spare["create"].pop() if self._spare["create"] else self._create()

    def join(self) -> float:
        return self._spare["join"].pop() if self._spare["join"] else self._join()

    def _processed(self, client: str, message: str) -> float:
        return self.took(self.ask("process", client=client, message=message))

    # --- Changes ---

    def add(self) -> float:
        pair = self._take()
        self._further += 1
        further = make_bundle(self._further, self.scene.suite, self.scene.now)
        package = further.key_package.encoded.hex()
        made = self.ask("add", client=pair.first, key_packages=[package])
        self._added = (pair, made["commit"])
        return self.took(made)

    def process_add(self) -> float:
        if self._added is None:
            self.add()
        pair, commit = self._added or self._nothing()
        self._added = None
        self._fresh.append(pair)
        return self._processed(pair.last, commit)

    def update_fresh(self) -> float:
        return self.took(self.ask("update", client=self._take().first))

    def remove(self) -> float:
        pair, number = self._take(), self.scene.removed
        who: dict[str, object] = {"removed": pair.last}
        if self.scene.n > 2:
            user, device = client_name(number).decode().split("@")[0].split(":")
            who = {"user": user, "device": int(device, 16)}
        made = self.ask("remove", client=pair.first, **who)
        self._removed = (pair, made["commit"])
        return self.took(made)

    def process_remove(self) -> float:
        if self._removed is None:
            self.remove()
        pair, commit = self._removed or self._nothing()
        self._removed = None
        return self._processed(pair.last, commit)

    def _nothing(self) -> tuple[Pair, str]:
        raise Unable(f"{self.name} made no commit")

    def fresh_pair(self) -> tuple[str, str]:
        pair = self._take()
        return pair.first, pair.last

    def _refreshed(self) -> Any:
        first, last = self.warmed()
        made = self.ask("update", client=first)
        made["processed"] = self._processed(last, made["commit"])
        return made

    def update_warm(self) -> float:
        return self.took(self._refreshed())

    def process_update_warm(self) -> float:
        return float(self._refreshed()["processed"])

    # --- Messages and sizes ---

    def encrypt(self) -> float:
        if not self._fresh:
            self._fresh.append(self._take())
        made = self.ask("encrypt", client=self._fresh[-1].first, data=TEXT.hex())
        self._message = made["message"]
        return self.took(made)

    def decrypt(self) -> float:
        self.encrypt()
        return self._processed(self._fresh[-1].last, self._message)

    def commit_bytes(self) -> float:
        return len(self._refreshed()["commit"]) / 2

    def welcome_bytes(self) -> float:
        if not self._welcome:
            self._fresh.append(self._take())
        return len(self._welcome) / 2


class Rfc9420(Peer):
    """PyPI rfc9420. Its own receivers refuse its paths (a leaf's signature does not verify)."""

    operations = frozenset(
        (
            *("create", "join", "add", "process_add", "update_fresh", "remove"),
            *("encrypt", "decrypt", "welcome_bytes", "group_bytes"),
        )
    )

    def __init__(self) -> None:
        try:
            import rfc9420
            from rfc9420.messages.data_structures import Welcome
            from rfc9420.messages.key_packages import KeyPackage
        except ImportError:
            raise Absent("rfc9420 (PyPI)") from None
        self.name = f"rfc9420 {version('rfc9420')}"
        self._library: Any = rfc9420
        self._welcome_type: Any = Welcome
        self._key_package_type: Any = KeyPackage
        self._config: Any = rfc9420.GroupConfig(
            rfc9420.DefaultCryptoProvider(), rfc9420.MemoryStorageProvider()
        )

    def prepare(self, n: int, now: int) -> None:
        self.scene = Scene.make(n, now)
        self._signer = self.scene.bundles[0].identity.signer.to_bytes()
        self._group: Any = None
        self._last: Any = None
        self._welcome = b""
        self._message: Any = None

    def _read(self, encoded: bytes) -> Any:
        return self._key_package_type.deserialize(encoded)

    def _ready(self) -> None:
        if self._group is None:
            self.create()
        if self._last is None:
            self.join()

    def _propose(self, group: Any, proposal: Any) -> None:
        group.process_proposal(proposal, 0)

    def create(self) -> float:
        own = self._read(self.scene.bundles[0].key_package.encoded)
        start = time.perf_counter_ns()
        group = self._library.MLSGroup.create(self._config, b"benchmark", own)
        for encoded in self.scene.added:
            self._propose(group, group.add(self._read(encoded), self._signer))
        staged = group.create_commit(self._signer)
        group.apply_staged_commit(staged)
        self._welcome = staged.welcomes[0].serialize()
        taken = milliseconds(start)
        self._group, self._last = group, None
        return taken

    def _join(self) -> Any:
        bundle = self.scene.bundles[-1]
        welcome = self._welcome_type.deserialize(self._welcome)
        return self._library.MLSGroup.join_from_welcome(
            self._config,
            welcome,
            bundle.init_key.to_bytes(),
            self._read(bundle.key_package.encoded),
        )

    def join(self) -> float:
        if self._group is None:
            self.create()
        start = time.perf_counter_ns()
        self._last = self._join()
        return milliseconds(start)

    def _commit(self, propose: Callable[[Any], list[Any]]) -> tuple[float, list[Any], Any]:
        """Proposals and a commit by a copy of the creator's group."""
        self._ready()
        group = deepcopy(self._group)
        start = time.perf_counter_ns()
        proposals = propose(group)
        staged = group.create_commit(self._signer)
        group.apply_staged_commit(staged)
        return milliseconds(start), proposals, staged.commit_message

    def _adding(self, group: Any) -> list[Any]:
        package = self._read(self.scene.further.key_package.encoded)
        proposal = group.add(package, self._signer)
        self._propose(group, proposal)
        return [proposal]

    def _removing(self, group: Any) -> list[Any]:
        proposal = group.remove(int(self.scene.removed), self._signer)
        self._propose(group, proposal)
        return [proposal]

    def add(self) -> float:
        return self._commit(self._adding)[0]

    def process_add(self) -> float:
        _, (proposal,), commit = self._commit(self._adding)
        other = deepcopy(self._last)
        start = time.perf_counter_ns()
        self._propose(other, proposal)
        other.process_commit(commit, 0)
        return milliseconds(start)

    def update_fresh(self) -> float:
        return self._commit(lambda _: [])[0]

    def remove(self) -> float:
        return self._commit(self._removing)[0]

    def encrypt(self) -> float:
        self._ready()
        start = time.perf_counter_ns()
        self._message = self._group.protect(TEXT, self._signer)
        return milliseconds(start)

    def decrypt(self) -> float:
        self.encrypt()
        start = time.perf_counter_ns()
        self._last.unprotect(self._message)
        return milliseconds(start)

    def welcome_bytes(self) -> float:
        self._ready()
        return len(self._welcome) + ENVELOPE

    def group_bytes(self) -> float:
        self._ready()
        return held_bytes(self._join)
