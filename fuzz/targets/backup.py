"""Backups: the header of any file, and whatever whoever knows the passphrase wrote after it."""

from __future__ import annotations

import io
from typing import Final

from parlour.client.backup_file import HEADER_SIZE, BackupReader, BackupWriter, Header
from parlour.client.backup_items import (
    Head,
    Known,
    SavedMessage,
    Tail,
    encode_item,
    read_head,
    read_items,
)
from parlour.errors import ParlourError
from parlour.primitives.kdf import Argon2Cost

_CHEAP: Final = Argon2Cost(memory_kib=8, passes=1)
_HEAD: Final = encode_item(Head(1, bytes(16), "anna@home.test", 0, 1))
_MESSAGE: Final = encode_item(
    SavedMessage(
        bytes(16), bytes(16), bytes(16), bytes(16), 1, 2, 3, "sent", b"\x93\x01\x01\x91\xa2hi"
    )
)


def _file(plaintext: bytes) -> io.BytesIO:
    file = io.BytesIO()
    writer = BackupWriter.begin(file, "words", cost=_CHEAP)
    writer.write(plaintext)
    writer.finish()
    file.seek(0)
    return file


SEEDS: Final = [
    _HEAD + encode_item(Known(b"\x93\x01\x01\x91\xa2hi")) + _MESSAGE + encode_item(Tail(1, 1)),
    _HEAD + encode_item(Tail(0, 0)),
    _file(b"").getvalue()[: HEADER_SIZE - 32],
]


def target(data: bytes) -> None:
    for read in (_read_header, _read_items):
        try:
            read(data)
        except ParlourError:
            continue


def _read_header(data: bytes) -> None:
    # Without the stretching that it asks for, which may take a second.
    Header.decode(data)


def _read_items(data: bytes) -> None:
    reader = BackupReader.begin(_file(data), "words")
    read_head(reader)
    for item in read_items(reader):
        if isinstance(item, SavedMessage):
            item.message()
