"""What a backup holds, one thing after another.

First `Head`, then what the person's devices tell each other of contacts and settings (`Known`),
then messages, then `Tail` with the counts. Never in it: keys of devices, sessions, prekeys, tokens,
the account secret. Restoring is making a new device and giving it back what was said.

Each is ``struct { uint32 length; opaque item[length]; }``, where the item is MessagePack: an array
whose first member says which kind it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from parlour.client.backup_file import BackupReader, damaged, not_ours
from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState
from parlour.errors import ParlourError

VERSION: Final = 1
LENGTH_SIZE: Final = 4
# The longest content, with room for what stands around it.
MAX_ITEM: Final = contents.MAX_ENCODED + 4096
# What was said or written, or is still to be decided on. What waits to be sent or can't be read is
# none of these.
SAVED: Final = frozenset(
    {
        MessageState.SENT,
        MessageState.UNSENT,
        MessageState.RECEIVED,
        MessageState.REQUESTED,
    }
)

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Head(Struct, array_like=True, frozen=True, tag=1):
    """Whose backup it is, and when it was made (milliseconds). `messages` is for the progress."""

    version: int
    account_id: _Id
    name: Annotated[str, Meta(max_length=512)]
    created_at: _Number
    messages: _Number


class Known(Struct, array_like=True, frozen=True, tag=2):
    """Something that devices of one person tell each other, as encoded content."""

    content: Annotated[bytes, Meta(max_length=contents.MAX_ENCODED)]

    def __repr__(self) -> str:
        return "Known()"


class SavedMessage(Struct, array_like=True, frozen=True, tag=3):
    """A message, as `Message` has it."""

    conversation: _Id
    message_id: _Id
    sender_account: _Id
    sender_device: _Id
    seq: _Number | None
    sent_at: _Number
    stored_at: _Number | None
    state: Annotated[str, Meta(max_length=16)]
    content: Annotated[bytes, Meta(max_length=contents.MAX_ENCODED)]

    def __repr__(self) -> str:
        return f"SavedMessage({self.message_id.hex()})"

    @classmethod
    def of(cls, message: Message) -> SavedMessage:
        """A message of the store."""
        return cls(
            message.conversation,
            message.message_id,
            message.sender_account,
            message.sender_device,
            message.seq,
            message.sent_at,
            message.stored_at,
            message.state.value,
            message.content,
        )

    def message(self) -> Message:
        """The message for the store; raises `BACKUP_DAMAGED` for one that can't be."""
        try:
            state = MessageState(self.state)
            contents.decode(self.content)
        except (ValueError, ParlourError):
            raise damaged("a message in it makes no sense") from None
        if state not in SAVED:
            raise damaged("a message in it makes no sense")
        return Message(
            conversation=self.conversation,
            message_id=self.message_id,
            sender_account=self.sender_account,
            sender_device=self.sender_device,
            seq=self.seq,
            sent_at=self.sent_at,
            stored_at=self.stored_at,
            state=state,
            content=self.content,
        )


class Tail(Struct, array_like=True, frozen=True, tag=4):
    """How many came before."""

    known: _Number
    messages: _Number


Item: TypeAlias = Head | Known | SavedMessage | Tail

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Item]] = msgspec.msgpack.Decoder(Item)


def encode_item(item: Item) -> bytes:
    """The item with its length before it."""
    data = _encoder.encode(item)
    return len(data).to_bytes(LENGTH_SIZE) + data


def read_head(reader: BackupReader) -> Head:
    """The first item; raises `BACKUP_UNKNOWN` for a backup of a newer program."""
    head = _read_item(reader)
    if not isinstance(head, Head):
        raise damaged("it does not say whose it is")
    if head.version != VERSION:
        raise not_ours("it is of a newer program: update this one")
    return head


def read_items(reader: BackupReader) -> Iterator[Known | SavedMessage]:
    """What follows the head, up to the end, which must be one."""
    known = messages = 0
    while True:
        item = _read_item(reader)
        match item:
            case Known():
                known += 1
                yield item
            case SavedMessage():
                messages += 1
                yield item
            case Tail():
                break
            case Head():
                raise damaged("it begins twice")
    if (item.known, item.messages) != (known, messages):
        raise damaged("it holds another number of things than it says")
    reader.expect_end()


def _read_item(reader: BackupReader) -> Item:
    size = int.from_bytes(reader.read(LENGTH_SIZE))
    if size > MAX_ITEM:
        raise damaged("a thing in it is too large")
    try:
        return _decoder.decode(reader.read(size))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise damaged("a thing in it makes no sense") from None
