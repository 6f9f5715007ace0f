"""What a new device begins with: its own records, and what an older device hands it.

A snapshot holds contacts, settings, the key of the profile, and how far each conversation was read
with the number of each sender's last message. So a new device reads on exactly where the old one
was, and notices what a server leaves out. It holds no keys of sessions and no messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from parlour.conversation import content as contents
from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.conversation.contact import Contact
from parlour.conversation.genesis import check_between, is_pairwise
from parlour.conversation.numbers import settled
from parlour.conversation.policies import check_floor
from parlour.conversation.records import (
    ASKED_FOR_SYNC,
    INCARNATION,
    RECORD,
    Conversation,
    KnownProfile,
    OwnDevice,
    SenderCount,
    Setting,
)
from parlour.conversation.sync import ContactSync, GroupSync, OwnProfileSync, SettingSync, Sync
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.errors import Code, DecodeError, ParlourError
from parlour.roster.genesis import Genesis

VERSION: Final = 1
# Linking carries at most so much (`identity.link_messages.MAX_SNAPSHOT`); what has no room is
# asked for later, in the self conversation.
MAX_SNAPSHOT: Final = 220 << 10
_MAX_ITEMS: Final = 10_000

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Place(Struct, array_like=True, frozen=True):
    """How far a conversation was read. `senders` are the last numbers of its devices."""

    peer: _Id
    stream: _Id
    genesis: Annotated[bytes, Meta(max_length=256)]
    received: _Number
    last_seq: _Number
    last_hash: Annotated[bytes, Meta(max_length=32)]
    senders: dict[_Id, _Number]
    read: _Number


class _Snapshot(Struct, array_like=True, frozen=True):
    version: int
    incarnation: Annotated[bytes, Meta(max_length=16)]
    complete: bool
    items: Annotated[list[Annotated[bytes, Meta(max_length=4096)]], Meta(max_length=_MAX_ITEMS)]
    places: Annotated[list[Place], Meta(max_length=_MAX_ITEMS)]


def place_of(conversation: Conversation, device_id: bytes) -> Place:
    """Where a conversation stands, on the device of that id."""
    senders = {device: count.highest for device, count in conversation.senders.items()}
    if conversation.sent_counter:
        senders[device_id] = conversation.sent_counter
    return Place(
        peer=conversation.peer,
        stream=conversation.stream,
        genesis=conversation.genesis,
        received=settled(conversation),
        last_seq=conversation.last_seq,
        last_hash=conversation.last_hash,
        senders=senders,
        read=min(conversation.read, conversation.received),
    )


def encode_snapshot(
    device_id: bytes,
    incarnation: bytes,
    syncs: Sequence[Sync],
    conversations: Sequence[Conversation],
) -> bytes:
    """Encode what fits: first the syncs, then the conversations, each in the order given.

    `device_id` is the device that says so.
    """
    room = MAX_SNAPSHOT - 64
    items: list[bytes] = []
    places: list[Place] = []
    complete = True
    for item in (contents.encode(sync) for sync in syncs):
        if len(item) + 3 > room or len(items) == _MAX_ITEMS:
            complete = False
            break
        room -= len(item) + 3
        items.append(item)
    for place in (place_of(each, device_id) for each in conversations if each.stream):
        size = len(msgspec.msgpack.encode(place))
        if size <= room and len(places) < _MAX_ITEMS:
            room -= size
            places.append(place)
    return msgspec.msgpack.encode(_Snapshot(VERSION, incarnation, complete, items, places))


def first_changes(
    own: OwnDevice, contact: Contact, prekeys: PrekeyStore, snapshot: bytes = b""
) -> list[Change]:
    """The records that a machine starts from, for a device that was just made.

    `snapshot` is `Machine.snapshot` of an older device of the account, where one handed it over;
    one that is malformed raises `DecodeError`.
    """
    records: list[Change] = [
        PutRecord(Namespace.DEVICE, RECORD, msgspec.msgpack.encode(own)),
        PutRecord(Namespace.CONTACT, contact.account_id, contact.encode()),
        PutRecord(Namespace.PREKEYS, RECORD, prekeys.to_bytes()),
    ]
    if snapshot:
        records += _taken_over(own, snapshot)
    return records


def _taken_over(own: OwnDevice, data: bytes) -> Iterator[Change]:
    try:
        snapshot = msgspec.msgpack.decode(data, type=_Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(Code.DECODE_MALFORMED, "snapshot") from error
    if snapshot.version != VERSION:
        raise DecodeError(Code.DECODE_VERSION, "snapshot")
    if snapshot.incarnation:
        # The numbers below are those of this data.
        yield PutRecord(Namespace.SERVER, INCARNATION, snapshot.incarnation)
    for item in snapshot.items:
        yield from _taken_item(own, item)
    for place in snapshot.places:
        yield _taken_place(own, place)
    if snapshot.complete:
        yield PutRecord(Namespace.SERVER, ASKED_FOR_SYNC, b"1")


def _taken_item(own: OwnDevice, item: bytes) -> Iterator[Change]:
    try:
        said = contents.decode(item)
    except DecodeError:
        # What one thing says that nobody can read must not keep a device from beginning.
        return
    match said:
        case ContactSync(account_id=account_id) if account_id != own.account_id:
            # A contact as soon as its device list was read (`syncing`).
            yield PutRecord(Namespace.SYNC, account_id, item)
        case SettingSync(key=key, value=value, at=at):
            setting = msgspec.msgpack.encode(Setting(value, at))
            yield PutRecord(Namespace.SETTING, key.encode(), setting)
        case OwnProfileSync(profile=announced):
            known = KnownProfile()
            known.announce(announced)
            yield PutRecord(Namespace.PROFILE, own.account_id, msgspec.msgpack.encode(known))
        case GroupSync(group=group, accepted=True):
            # The device is in the group as soon as somebody has brought it in.
            yield PutRecord(Namespace.SYNC, group, item)
        case _:
            # Of a newer program.
            pass


def _taken_place(own: OwnDevice, place: Place) -> Change:
    pairwise = is_pairwise(place.genesis)
    try:
        if pairwise:
            check_between(place.genesis, own.account_id, place.peer)
        else:
            check_floor(Genesis.decode(place.genesis))
    except ParlourError as error:
        raise DecodeError(Code.DECODE_MALFORMED, "snapshot") from error
    conversation = Conversation(
        peer=place.peer,
        # Into one on MLS the device comes when the server names it, with that very genesis.
        stream=place.stream if pairwise else b"",
        genesis=place.genesis,
        received=place.received,
        last_seq=place.last_seq,
        last_hash=place.last_hash,
        senders={device: SenderCount(highest=number) for device, number in place.senders.items()},
        read=place.read,
    )
    return PutRecord(Namespace.CONVERSATION, place.peer, msgspec.msgpack.encode(conversation))
