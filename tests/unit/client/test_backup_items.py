"""What a backup holds, when it holds something else than it should."""

from __future__ import annotations

import io

import msgspec
import pytest

from parlour.client.backup_file import BackupReader, BackupWriter
from parlour.client.backup_items import (
    MAX_ITEM,
    Head,
    Item,
    Known,
    SavedMessage,
    Tail,
    encode_item,
    read_head,
    read_items,
)
from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.content import Text
from parlour.errors import Code, ParlourError
from parlour.primitives.kdf import Argon2Cost

HEAD = Head(1, bytes(16), "anna@home.test", 1_700_000_000_000, 1)
MESSAGE = Message(
    conversation=b"c" * 16,
    message_id=b"m" * 16,
    sender_account=b"c" * 16,
    sender_device=b"d" * 16,
    seq=7,
    sent_at=5,
    stored_at=6,
    state=MessageState.RECEIVED,
    content=contents.encode(Text("the key is under the flower pot")),
)


def reader(*items: Item | bytes) -> BackupReader:
    file = io.BytesIO()
    writer = BackupWriter.begin(file, "words", cost=Argon2Cost(8, 1))
    for item in items:
        writer.write(item if isinstance(item, bytes) else encode_item(item))
    writer.finish()
    file.seek(0)
    return BackupReader.begin(file, "words")


def test_items_come_back() -> None:
    saved = SavedMessage.of(MESSAGE)
    backup = reader(HEAD, Known(b"known"), saved, Tail(1, 1))
    assert read_head(backup) == HEAD
    assert list(read_items(backup)) == [Known(b"known"), saved]
    assert saved.message() == MESSAGE
    assert "flower" not in f"{saved} {Known(b'flower')}"


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


@pytest.mark.parametrize(
    "rest",
    [
        [],
        [Tail(0, 1)],
        [Tail(1, 0)],
        [Tail(0, 0), Tail(0, 0)],
        [HEAD, Tail(0, 0)],
        [framed(b"\xc1")],
        [framed(msgspec.msgpack.encode([9, 1]))],
        [framed(msgspec.msgpack.encode([4, -1, 0]))],
        [(MAX_ITEM + 1).to_bytes(4) + bytes(MAX_ITEM + 1), Tail(0, 0)],
    ],
    ids=["no tail", "less", "none known", "two tails", "two heads", "no msgpack", "unknown kind",
         "negative", "too large"],
)  # fmt: skip
def test_other_contents_are_damage(rest: list[Item | bytes]) -> None:
    backup = reader(HEAD, *rest)
    read_head(backup)
    with pytest.raises(ParlourError) as caught:
        list(read_items(backup))
    assert caught.value.code is Code.BACKUP_DAMAGED


def test_a_head_comes_first_and_is_of_this_version() -> None:
    with pytest.raises(ParlourError, match="whose it is") as caught:
        read_head(reader(Tail(0, 0)))
    assert caught.value.code is Code.BACKUP_DAMAGED
    with pytest.raises(ParlourError, match="newer program") as caught:
        read_head(reader(msgspec.structs.replace(HEAD, version=2)))
    assert caught.value.code is Code.BACKUP_UNKNOWN


@pytest.mark.parametrize(
    "change", [{"state": "queued"}, {"state": "lost"}, {"content": b"\xc1"}], ids=str
)
def test_messages_that_can_not_be(change: dict[str, object]) -> None:
    saved = msgspec.structs.replace(SavedMessage.of(MESSAGE), **change)
    with pytest.raises(ParlourError) as caught:
        saved.message()
    assert caught.value.code is Code.BACKUP_DAMAGED
