"""The small records that the machine keeps, as they stand in the local store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from parlour.conversation.changes import Namespace
from parlour.conversation.sync import AnnouncedProfile
from parlour.double_ratchet.identity import DeviceIdentity, LocalDevice
from parlour.errors import Code, StorageError
from parlour.identity.device_list import device_id_of
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.streams import Entry

Records: TypeAlias = Mapping[Namespace, Mapping[bytes, bytes]]
RECORD: Final = b""
"""The key of a namespace that has one record."""
INCARNATION: Final = b"incarnation"
"""The key, in the namespace of the server, of which data the server has."""
ASKED_FOR_SYNC: Final = b"asked_for_sync"
"""The key, in the namespace of the server, of having asked our other devices for everything."""

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]

T = TypeVar("T", bound=Struct)


class OwnDevice(Struct, frozen=True):
    """This device and its account, as they were registered.

    `first` when the account began on this device: a later one meets conversations that others
    have read for long.
    """

    server: str
    name: str
    account_id: _Id
    signature_key: bytes
    identity_key: bytes
    has_kem: bool = True
    first: bool = True

    def __repr__(self) -> str:
        return f"OwnDevice({self.name}@{self.server})"

    def local(self) -> LocalDevice:
        """The device as the pairwise protocol knows it."""
        signature_key = Ed25519PrivateKey(self.signature_key)
        identity_key = X25519PrivateKey(self.identity_key)
        identity = DeviceIdentity(
            account_id=self.account_id,
            device_id=device_id_of(signature_key.public_key),
            signature_key=signature_key.public_key,
            identity_key=identity_key.public_key,
            has_kem=self.has_kem,
        )
        return LocalDevice(identity, signature_key, identity_key)


class SenderCount(Struct):
    """What arrived of one sending device in one conversation.

    `highest` and `missing` are counters. `unread` is how many entries came whose counter is not
    known, because they could not be read; so many of `missing` are explained. `told` is how many
    more were told of.
    """

    highest: int = 0
    unread: int = 0
    missing: list[int] = []
    told: int = 0

    @property
    def unexplained(self) -> int:
        """How many are missing that are none of those that came and could not be read."""
        return max(len(self.missing) - self.unread, 0)


class Gap(Struct, frozen=True):
    """Numbers of a stream that were passed over: those between `after` and `before`.

    `since` is when that was, in milliseconds.
    """

    after: int
    before: int
    since: int


class Conversation(Struct):
    """One pairwise conversation: with another account, or of our own devices.

    Its id is the peer's account id, ours for our own devices; `stream` is empty until it exists.
    `received` is the number up to which every entry was handled, but for those in `gaps`
    (`numbers`). Numbers up to `seen_before` were handled once, before the server's data was
    restored from a backup: those stored until `seen_until` (ms, by the server's clock). `newest` is
    when the last of all that were seen was stored. `read` is how far the person has read, on
    whichever device. `former` is the stream that it had before such a restore, until the server has
    named it again.

    `since` says for each device of either account from which of our counters on it gets what we
    say. `late`: what we heard of it before is forgotten, or it is a group to which we came when
    others had spoken already, so that a device's first number here is whatever it is. `first` is
    the number that the server named as a group's first one for us, 0 if it did not. `requested`
    messages of a stranger are kept until somebody decides, `unkept` were too many.
    """

    peer: _Id
    stream: bytes = b""
    genesis: bytes = b""
    received: int = 0
    gaps: list[Gap] = []
    sent_counter: int = 0
    last_seq: int = 0
    last_hash: bytes = b""
    senders: dict[bytes, SenderCount] = {}
    seen_before: int = 0
    read: int = 0
    late: bool = False
    first: int = 0
    requested: int = 0
    unkept: int = 0
    former: bytes = b""
    newest: int = 0
    seen_until: int = 0
    since: dict[bytes, int] = {}


class Outgoing(Struct):
    """Something to say. `sealed` is the encoded request once it was encrypted.

    `inbox` names a device when it goes to that device's inbox instead of the conversation.
    `resealed` when it was encrypted more than once: the server may hold any of these. `silent`
    when it is for programs. `after` is the generation and epoch in which the one before was said,
    in groups.
    """

    message_id: _Id
    conversation: _Id
    order: int
    sent_at: int
    content: bytes
    counter: int = 0
    sealed: bytes = b""
    inbox: bytes = b""
    resealed: bool = False
    silent: bool = False
    after: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        return f"Outgoing({self.message_id.hex()}, [{len(self.content)} bytes])"


class Held(Struct):
    """An entry that could not be read yet, with its reason and the repair's deadline.

    `asked` is how often its sender, or the directory, was asked; `counted` when it is in the
    sender's count of unread entries; `quiet` when it is of somebody whom nobody has accepted yet.
    """

    entry: Entry
    conversation: _Id
    reason: str
    until: int
    asked: int = 0
    counted: bool = False
    quiet: bool = False


class KnownProfile(Struct):
    """A profile as far as it is known: its key, version and hash as announced, what it says.

    `version` is that of what it says, 0 before anything was read. `by_owner` when its owner
    announced it to this device, not another device of ours.

    Our own one holds the `picture`, to be sealed anew; others' pictures lie in the store alone. It
    is `unsent` until the server has it, and `sealed` as long: however often it is sent, it is what
    is announced. `made_here` when no other device of ours has set another one since. With `renew`,
    its key is still to be replaced: somebody has it who should not.
    """

    key: bytes = b""
    announced: int = 0
    digest: bytes = b""
    by_owner: bool = False
    version: int = 0
    name: str = ""
    status: str = ""
    picture: bytes = b""
    unsent: bool = False
    sealed: bytes = b""
    made_here: bool = False
    renew: bool = False

    @property
    def announcement(self) -> AnnouncedProfile | None:
        """What was announced, if anything."""
        return AnnouncedProfile(self.key, self.announced, self.digest) if self.key else None

    @property
    def is_read(self) -> bool:
        """Whether what is known is what was announced."""
        return bool(self.version) and self.version == self.announced

    def announce(self, profile: AnnouncedProfile) -> None:
        """Take note of what was announced; it is still to be read."""
        self.key, self.announced, self.digest = profile.key, profile.version, profile.digest
        if self.version == profile.version:
            # Another one of that version was read, or set here.
            self.version -= 1

    def __repr__(self) -> str:
        return f"KnownProfile(version={self.version})"


class Setting(Struct, frozen=True):
    """A setting of the person, and when it was made (ms)."""

    value: str
    at: int

    def __repr__(self) -> str:
        return f"Setting([{len(self.value)} characters])"


class Inbox(Struct):
    """How far this device's inbox was read: up to `received`, but for `gaps`."""

    received: int = 0
    gaps: list[Gap] = []


class LeafKey(Struct):
    """The signature key of this device's leaves in groups, made at `made_at`, and its certificate.

    `sets` says when the last whole set of key packages was made, by suite. Times are in seconds.
    """

    key: bytes
    made_at: int
    certificate: bytes
    sets: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"LeafKey(made_at={self.made_at})"


class OwnKeyPackage(Struct):
    """A key package of this device: `data` is its `mls.KeyPackageBundle`. Times are in seconds.

    Of last resorts, one is current, `published` or not; others were `replaced_at`, and are kept for
    what is under way.
    """

    suite: int
    made_at: int
    data: bytes
    last_resort: bool = False
    published: bool = True
    replaced_at: int = 0

    def __repr__(self) -> str:
        return f"OwnKeyPackage({self.suite:#06x}, [secret])"


class UpkeepDone(Struct):
    """The id of the signed prekey that the server confirmed, and when old keys were erased (ms)."""

    published: int = 0
    expired_at: int = 0


def read_own(records: Records) -> OwnDevice:
    """This device, out of the records of its home."""
    return decoded(required(records, Namespace.DEVICE, RECORD), OwnDevice)


def decoded(data: bytes, kind: type[T]) -> T:
    """Decode a record, or raise `STORE_VERSION`: what is damaged the database finds out itself."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(Code.STORE_VERSION, kind.__name__) from error


def all_of(records: Records, namespace: Namespace, kind: type[T]) -> dict[bytes, T]:
    """All records of a namespace, decoded."""
    return {key: decoded(value, kind) for key, value in records.get(namespace, {}).items()}


def required(records: Records, namespace: Namespace, key: bytes) -> bytes:
    """A record that must be there, or raise `StorageError`."""
    value = records.get(namespace, {}).get(key)
    if value is None:
        raise StorageError(Code.STORE_BROKEN, f"no {namespace.value} record")
    return value
