"""What a store does, topic by topic. Every change is durable when its call returns.

All of them raise `StorageError` when the disk is full or broken. Times are milliseconds; `now` is
passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from parlour.server.store.group_records import (
    DeviceKey,
    GroupChange,
    GroupHead,
    Handshaken,
    HandshakePlace,
    NewGroup,
    StoredGroup,
)
from parlour.server.store.records import (
    AccountChange,
    AccountRecord,
    AppendedEntry,
    DeviceRecord,
    InviteRecord,
    ListChange,
    ListPage,
    ListTip,
    NewAccount,
    NewDevice,
    NewToken,
    TakenKeyPackages,
    TokenRecord,
)
from parlour.wire.groups import GroupState, KeyPackageCount, KeyPackageUpload, KnownList
from parlour.wire.prekeys import Bundle, Prekey, PrekeyCounts
from parlour.wire.streams import (
    Append,
    CatchUp,
    CaughtUp,
    Entry,
    Page,
    Position,
    Read,
    StreamInfo,
    StreamInfos,
)


class Accounts(Protocol):
    """Accounts and their login records."""

    async def register(self, account: NewAccount, *, now: int) -> None:
        """Make an account with all that belongs to it, or nothing of it.

        Raises ``account.exists`` for a name, account id or device id that is taken, and
        ``invite.invalid``.
        """

    async def by_name(self, name: str) -> AccountRecord | None:
        """Find an account by its canonical name."""

    async def by_id(self, account_id: bytes) -> AccountRecord | None:
        """Find an account by its id."""

    async def change(self, account_id: bytes, change: AccountChange, *, now: int) -> ListChange:
        """Change all of it, or nothing.

        Raises ``device_list.conflict`` and ``device_list.invalid`` as `Devices.append_list`,
        ``vault.conflict`` when the vaults' number is not the next one, and ``device.removed``
        when the token is for a device that is not on the list then.
        """

    async def contacts(self, account_id: bytes) -> tuple[bytes, ...]:
        """Who shares a stream with the account, itself included."""


class Devices(Protocol):
    """Devices and the signed lists that name them."""

    async def find(self, device_id: bytes) -> DeviceRecord | None:
        """Find a device, active or removed."""

    async def list_page(
        self, account_id: bytes, first: int, limit: int
    ) -> tuple[list[bytes], bool]:
        """Entries of a device list from number `first`, and whether it goes on."""

    async def list_head(self, account_id: bytes) -> bytes | None:
        """The newest entry of a device list."""

    async def list_pages(
        self, wanted: Sequence[KnownList], limit: int, max_bytes: int
    ) -> list[ListPage]:
        """A page of each of these lists, of at most `limit` entries.

        It ends before the list with which it would have more than `max_bytes`; the first one is
        always there.
        """

    async def list_heads(self, account_ids: Sequence[bytes]) -> list[ListTip]:
        """The newest entry of each of these lists that is there."""

    async def append_list(
        self,
        account_id: bytes,
        number: int,
        entry: bytes,
        devices: Sequence[NewDevice],
        *,
        now: int,
    ) -> ListChange:
        """Append entry `number`, and make the account's active devices those of the entry.

        Devices that are not on it any more lose tokens, prekeys, inbox entries, cursors and
        ticket. Raises ``device_list.conflict`` when `number` is not the next one, and
        ``device_list.invalid`` when a device belongs to somebody else.
        """

    async def exchange_ticket(
        self, device_id: bytes, ticket: bytes | None, next_ticket: bytes
    ) -> None:
        """Replace the stored ticket by `next_ticket` if `ticket` is the stored one.

        A device without a stored one takes any: it is new, or the store was restored, which
        forgets them. None fits only such a device; a repeat (the stored one is `next_ticket`)
        changes nothing. Raises ``device.copied`` for all else.
        """


class Tokens(Protocol):
    """Sessions, by the hash of their token."""

    async def add(self, device_id: bytes, token: NewToken) -> None:
        """Store a token for an active device; raises ``device.removed``."""

    async def find(self, token_hash: bytes) -> TokenRecord | None:
        """Find a token, revoked or not."""

    async def touch(self, token_hash: bytes, *, last_used: int, expires_at: int) -> None:
        """Note a day of use."""

    async def of_account(self, account_id: bytes, *, now: int) -> list[TokenRecord]:
        """All tokens of an account that are good now."""

    async def revoke(self, account_id: bytes, token_hash: bytes, *, now: int) -> bool:
        """End a token of the account; False if there is none that is good."""

    async def revoke_all(self, account_id: bytes, *, keep: bytes | None, now: int) -> None:
        """End all tokens of the account but the one whose hash is `keep`."""


class Invites(Protocol):
    """Invites, by the hash of their secret. `Accounts.register` uses them up."""

    async def add(
        self, invite_hash: bytes, *, uses: int, expires_at: int, issuer: bytes | None
    ) -> None:
        """Store an invite; `issuer` is an account, or None for the operator.

        Raises ``limit.count`` for more than `MAX_INVITES` of one account, and ``usage.invalid``
        for a hash that is there.
        """

    async def usable(self, invite_hash: bytes, *, now: int) -> bool:
        """Whether somebody may register with it now."""

    async def of_account(self, issuer: bytes, *, now: int) -> list[InviteRecord]:
        """The invites of an account that can still be used."""

    async def revoke(self, issuer: bytes, invite_hash: bytes) -> bool:
        """End an invite of an account; False if it has none of that hash."""


class Profiles(Protocol):
    """Profiles, sealed."""

    async def replace(self, account_id: bytes, profile: bytes) -> None:
        """Replace the account's profile; empty removes it."""

    async def read(self, reader: bytes, account_id: bytes) -> bytes:
        """The profile of an account, for who shares a stream with it.

        Raises ``profile.unknown`` for everybody else, and where there is none.
        """


class Prekeys(Protocol):
    """The prekey directory."""

    async def publish(self, device_id: bytes, prekeys: Sequence[Prekey]) -> PrekeyCounts:
        """Add prekeys; raises ``limit.count`` above `MAX_PREKEYS_STORED` of a kind."""

    async def counts(self, device_id: bytes) -> PrekeyCounts:
        """How many one-time prekeys are left."""

    async def take(
        self, account_id: bytes, device_ids: Sequence[bytes], *, now: int
    ) -> list[tuple[Bundle, PrekeyCounts]]:
        """Take a bundle for each active device of the account, with what is left afterwards.

        A one-time prekey is given out once, whoever asks at the same time.
        """


class KeyPackages(Protocol):
    """Key packages of devices, for groups."""

    async def publish(
        self, device_id: bytes, packages: Sequence[KeyPackageUpload], *, now: int
    ) -> list[KeyPackageCount]:
        """Add key packages; one that is there is left as it is.

        A last resort takes the place of the one before it. Raises ``limit.count`` above
        `MAX_KEY_PACKAGES_STORED` of a suite, and for too many suites.
        """

    async def counts(self, device_id: bytes, *, now: int) -> list[KeyPackageCount]:
        """What is left, by suite."""

    async def take(
        self,
        suite: int,
        device_ids: Sequence[bytes],
        *,
        spared: Collection[bytes],
        low: int,
        now: int,
    ) -> TakenKeyPackages:
        """Take a key package for each of these devices that is active and has one.

        One that is no last resort is given out once, whoever asks at the same time; after them
        comes the last resort, which stays and is marked as used. Devices that are `spared` give
        their last resort at once, if they have one. What has expired is not given out. `counts`
        is there for a device that has fewer than `low` left, or gave its last resort.
        """


class Streams(Protocol):
    """Streams, their entries and cursors."""

    async def create_direct(
        self, info: StreamInfo, *, creator: bytes, now: int
    ) -> tuple[StreamInfo, bool]:
        """Create the direct stream of two accounts, or get it; True if it was made.

        Raises ``account.unknown``, ``limit.count``, and ``usage.invalid`` for a stream id that is
        taken.
        """

    async def create_self(self, info: StreamInfo, *, creator: bytes) -> tuple[StreamInfo, bool]:
        """Create the stream of one account's own devices, or get it; True if it was made.

        Raises as `create_direct`.
        """

    async def of_device(self, device_id: bytes, after: bytes = b"") -> StreamInfos:
        """Streams the device may read, by id: its inbox and its account's, behind that id.

        As many as fit a page: a thousand groups of 1,500 people are 27 MB.
        """

    async def info(self, device_id: bytes, stream: bytes) -> StreamInfo:
        """One of them; raises ``stream.unknown``."""

    async def append(
        self,
        device_id: bytes,
        request: Append,
        *,
        now: int,
        epoch: tuple[int, int] | None = None,
        known: int | None = None,
    ) -> AppendedEntry:
        """Append an entry of an active device, or find it if it was appended before.

        To a group only devices that have a leaf append, and only messages; `epoch` is the
        generation and the epoch of one. `known` is the version of the members that the caller
        remembers: they are in the answer only if they have changed since.

        Raises ``stream.unknown``, ``stream.forbidden``, ``stream.epoch``, ``stream.parts``,
        ``group.not_member``, ``group.invalid`` and ``device.removed``.
        """

    async def read(self, device_id: bytes, request: Read, *, now: int) -> Page:
        """Read a page; raises ``stream.unknown``."""

    async def catch_up(self, device_id: bytes, request: CatchUp, *, now: int) -> CaughtUp:
        """Read on in all streams of a device; raises ``stream.unknown``."""

    async def acknowledge(
        self, device_id: bytes, positions: Iterable[Position], *, now: int
    ) -> None:
        """Move cursors forward, never back, and trim what every device has read.

        Raises ``stream.unknown``.
        """

    async def sweep(self, *, now: int) -> int:
        """Trim and forget a bounded number of things whose time is over; how many it was."""


class Groups(Protocol):
    """Groups on MLS. What is written here was verified by the caller (`parlour.server.groups`).

    A group is a stream, so all of `Streams` but `create_direct` and `create_self` is for them too.
    """

    async def create(
        self, group: NewGroup, *, creator: bytes, device_id: bytes
    ) -> tuple[StreamInfo, bool]:
        """Make a group of one leaf, the device's; True if it was made.

        Of kinds `direct` and `self` there is one per pair, or account: who comes second gets the
        one there is, whatever it is. Of the others, who comes again with the same genesis gets
        what was made. Raises ``account.unknown``, ``limit.count``, ``device.removed``, and
        ``usage.invalid`` for a stream id that is taken.
        """

    async def head(self, device_id: bytes, stream: bytes, client_id: bytes) -> GroupHead:
        """Where a group is, for a device that wants to change it.

        Raises ``stream.unknown``, ``device.removed``, and ``group.unknown`` to a member of a
        stream that is no group.
        """

    async def load(self, stream: bytes) -> StoredGroup:
        """All of a group; raises ``stream.unknown`` and ``group.unknown``."""

    async def device_keys(self, device_ids: Iterable[bytes]) -> list[DeviceKey]:
        """The keys of those devices that there are, active or not."""

    async def change(
        self, device_id: bytes, entry: Handshaken, change: GroupChange, *, now: int
    ) -> HandshakePlace | None:
        """Append the entry and change the group, in one step, or find it if it was appended before.

        None if the group is not where the entry has to find it: another one won. Raises
        ``device.removed``, ``limit.count`` for an account that has too many conversations, and
        ``stream.parts`` when a device that is to be welcomed has left its list.
        """

    async def propose(
        self, device_id: bytes, entry: Handshaken, message: bytes, *, now: int
    ) -> HandshakePlace | None:
        """Append a proposal; None as `change`. It waits until the group changes."""

    async def winners(
        self, device_id: bytes, stream: bytes, generation: int, epoch: int, *, now: int
    ) -> list[Entry]:
        """The entries by which the group came on from there, as far as they fit into a page.

        Each with the device's own part. Raises ``stream.unknown``.
        """

    async def state(
        self, device_id: bytes | None, stream: bytes, generation: int | None, epoch: int | None
    ) -> GroupState:
        """The group in public, now or in an epoch whose joiners have yet to come.

        To a member, or without a device to whoever may have it. Raises ``stream.unknown``,
        ``group.unknown`` and ``group.epoch_gone``.
        """


class Store(Protocol):
    """A store that is open."""

    name: str
    """The server's name, fixed when the store was made."""
    incarnation: bytes
    """16 random bytes, new whenever the store is made or restored."""

    @property
    def accounts(self) -> Accounts:
        """Accounts and login records."""

    @property
    def devices(self) -> Devices:
        """Devices and their lists."""

    @property
    def tokens(self) -> Tokens:
        """Sessions."""

    @property
    def invites(self) -> Invites:
        """Invites."""

    @property
    def profiles(self) -> Profiles:
        """Profiles."""

    @property
    def prekeys(self) -> Prekeys:
        """The prekey directory."""

    @property
    def key_packages(self) -> KeyPackages:
        """Key packages."""

    @property
    def streams(self) -> Streams:
        """Streams, entries and cursors."""

    @property
    def groups(self) -> Groups:
        """Groups on MLS."""

    async def set_port(self, port: int) -> None:
        """Write down the port that the server listens on, for who reads the folder alone."""

    async def close(self) -> None:
        """Finish what was submitted and close."""
