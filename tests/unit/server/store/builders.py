"""What the store's tests put into it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from parlour.server.store import NewAccount, NewToken, Store
from parlour.server.store.records import NewDevice
from parlour.wire.envelope import Envelope
from parlour.wire.prekeys import Prekey
from parlour.wire.streams import Append, Part, StreamInfo

NAME = "parlour.example"
NOW = 1_800_000_000_000
_numbers = itertools.count(1)


def unique() -> bytes:
    """16 bytes that no other call gives."""
    return next(_numbers).to_bytes(16)


@dataclass(frozen=True)
class Someone:
    """An account with one device, as the store knows them."""

    account: bytes
    device: bytes
    inbox: bytes
    token: bytes


def new_device() -> NewDevice:
    return NewDevice(unique(), b"signature key", unique())


def new_account(**changes: Any) -> NewAccount:
    account = NewAccount(
        account_id=unique(),
        name=f"n{next(_numbers)}",
        record=b"\x01record",
        record_signature=b"signature",
        vault=b"vault",
        list_entry=b"entry 0",
        device=new_device(),
        prekeys=[],
        token=NewToken(unique() * 2, created_at=NOW, expires_at=NOW + 10**9),
        invite=None,
    )
    return replace(account, **changes)


async def someone(store: Store, **changes: Any) -> Someone:
    new = new_account(**changes)
    await store.accounts.register(new, now=NOW)
    return Someone(new.account_id, new.device.device_id, new.device.inbox, new.token.hash)


async def conversation(store: Store, *people: Someone) -> bytes:
    wanted = StreamInfo(unique(), "direct", [each.account for each in people], b"genesis", 0)
    info, _ = await store.streams.create_direct(wanted, creator=people[0].account, now=NOW)
    return info.stream


def entry(stream: bytes, body: bytes = b"body", *to: bytes, **changes: Any) -> Append:
    parts = [Part(device, b"part of " + device) for device in to]
    fields: dict[str, Any] = {"client_id": unique(), "expect_epoch": None, "expires_at": None}
    fields.update(changes)
    return Append(stream=stream, envelope=Envelope(1, 2, b"key", body), parts=parts, **fields)


def prekey(kind: Any, key_id: int, expires_at: int = 2 * NOW // 1000) -> Prekey:
    return Prekey(kind, key_id, expires_at, b"%s %d" % (kind.encode(), key_id))
