"""What lies in the server's database, read from its file while the server runs."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.cli.demo.processes import failed

_HEAD: Final = 24
_QUERY: Final = """
    SELECT entries.seq, coalesce(entries.body, x''), coalesce(group_concat(hex(parts.data), ''), '')
    FROM entries JOIN streams ON streams.pk = entries.stream
    LEFT JOIN parts ON parts.entry = entries.pk
    WHERE streams.kind IN ('direct', 'group') AND entries.client_id = ? GROUP BY entries.pk
"""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What the server keeps of one message: its place, ciphertext and keys sealed to devices."""

    seq: int
    body: bytes
    parts: bytes

    @property
    def head(self) -> str:
        """The first bytes of the ciphertext, in hexadecimal."""
        return self.body[:_HEAD].hex(" ", 4) + " …"

    @property
    def tail(self) -> str:
        """The last bytes of the ciphertext; of groups, the first ones say which group it is."""
        return "… " + self.body[-_HEAD:].hex(" ", 4)


def stored_message(data: Path, message_id: str) -> StoredMessage:
    """The entry of a message."""
    database = f"{(data / 'parlour.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
        row = connection.execute(_QUERY, (bytes.fromhex(message_id),)).fetchone()
    if row is None:
        raise failed("the server does not have the message")
    return StoredMessage(row[0], bytes(row[1]), bytes.fromhex(row[2]))


def appears_in(data: Path, text: str) -> list[str]:
    """The names of the server's files in which that text stands as it is."""
    wanted = text.encode()
    files = (file for file in data.rglob("*") if file.is_file())
    return [file.name for file in files if wanted in file.read_bytes()]
