"""What a home knows of its server and of its login, beside what the machine knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from parlour.client.address import Address
from parlour.client.login import Target
from parlour.client.tls import Authorities, Pinned, Trust
from parlour.conversation.changes import Change, DeleteRecord, Namespace, PutRecord
from parlour.errors import Code, StorageError

_ACCOUNT: Final = b"account"
_TICKET: Final = b"ticket"
_NEXT_TICKET: Final = b"next_ticket"


class Account(Struct, frozen=True):
    """Where the server is, how it is recognised, and what logs this device in.

    `pins` are SHA-256 hashes of keys that the server may show; with none, a certificate authority
    vouches for it. `token` is empty while this device is not logged in. `secret` opens the vault
    together with the password. `begun` while it is not known whether the server has made the
    account, or taken this device into it. `vaults` is the highest number of vaults that was seen.
    """

    server: str
    host: str
    port: int
    pins: tuple[bytes, ...]
    token: str
    secret: bytes
    begun: bool = False
    vaults: int = 0

    def __repr__(self) -> str:
        return f"Account({self.server} at {self.host}:{self.port})"

    @property
    def address(self) -> Address:
        """Where the server is."""
        return Address(self.host, self.port)

    @property
    def trust(self) -> Trust:
        """How the server is recognised."""
        return Pinned.of(self.pins) if self.pins else Authorities()

    @property
    def target(self) -> Target:
        """The server, for a login."""
        return Target(self.address, self.trust, self.server)

    def change(self) -> Change:
        """The record to write."""
        return PutRecord(Namespace.SERVER, _ACCOUNT, msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> Account:
        """Read the record."""
        data = records.get(Namespace.SERVER, {}).get(_ACCOUNT)
        if data is None:
            raise StorageError(Code.STORE_BROKEN, "no account record")
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise StorageError(Code.STORE_BROKEN, "account record") from error


class Tickets(Struct, frozen=True):
    """The ticket of the last connection, and the one that was written for the next.

    A copied or restored home shows a ticket that the server has seen replaced; see
    `wire.streams.LiveStart`.
    """

    current: bytes
    next: bytes

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> Tickets:
        """Read the records; empty where there are none."""
        server = records.get(Namespace.SERVER, {})
        return cls(server.get(_TICKET, b""), server.get(_NEXT_TICKET, b""))

    def changes(self) -> list[Change]:
        """The records to write."""
        following: Change = DeleteRecord(Namespace.SERVER, _NEXT_TICKET)
        if self.next:
            following = PutRecord(Namespace.SERVER, _NEXT_TICKET, self.next)
        if not self.current:
            return [following]
        return [PutRecord(Namespace.SERVER, _TICKET, self.current), following]
