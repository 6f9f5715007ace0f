"""Export and import of an encrypted backup: contacts, settings and messages of one account.

A backup is no copy of a device. It holds no keys of it, no sessions and no prekeys: what a device
is goes on in one place only. It is imported into a home of the same account, new or old, and
merged with what is there: of two decisions about a contact or a setting the later counts, a message
that is there already stays as it is, and a key that was verified in the backup stops a contact who
shows another one now.

What is imported was read from its beginning to its end before, so that a damaged file changes
nothing. A second import of the same file changes nothing either, and finishes one that was killed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from parlour.client.backup_file import BackupReader, BackupWriter
from parlour.client.backup_items import (
    SAVED,
    VERSION,
    Head,
    Item,
    Known,
    SavedMessage,
    Tail,
    encode_item,
    read_head,
    read_items,
)
from parlour.client.engine import Engine
from parlour.client.files import PRIVATE_FILE, storage_errors, sync_folder
from parlour.client.store import LocalStore
from parlour.client.vault_file import DEFAULT_COST
from parlour.client.workers import run_slow
from parlour.conversation.changes import Message, PutMessage
from parlour.errors import Code, UsageError
from parlour.primitives.kdf import Argon2Cost

# Messages that are read, written or sealed at once.
PAGE: Final = 500

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many messages are done, of how many."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into a backup. `left_out` waits to be sent, or could not be read."""

    known: int
    messages: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What a backup held, when it was made (milliseconds), and how many messages were new here."""

    created_at: int
    known: int
    messages: int
    new: int


# --- Export ------------------------------------------------------------------------------


async def export_backup(
    engine: Engine,
    store: LocalStore,
    name: str,
    file: Path,
    passphrase: str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    cost: Argon2Cost = DEFAULT_COST,
) -> Exported:
    """Write a backup of the account `name` to `file`, which is there wholly or not at all.

    Raises `USAGE_STATE` where a file is there and `overwrite` does not say otherwise,
    `USAGE_INVALID` for a passphrase without canonical form, `StorageError`.
    """
    if not overwrite and await run_slow(file.exists):
        raise UsageError(Code.USAGE_STATE, f"{file.name} is there already")
    machine = await engine.current()
    total = await store.message_count()
    head = Head(VERSION, machine.account_id, name, engine.clock(), total)
    new = await run_slow(_NewFile.begin, file, passphrase, cost)
    try:
        items = machine.known()
        await run_slow(new.write, [head, *map(Known, items)])
        done = saved = 0
        async for page in _pages(store):
            kept = [SavedMessage.of(message) for message in page if message.state in SAVED]
            await run_slow(new.write, kept)
            done, saved = done + len(page), saved + len(kept)
            if progress is not None:
                progress(done, max(done, total))
        await run_slow(new.write, [Tail(len(items), saved)])
        await run_slow(new.finish)
    except BaseException:
        await run_slow(new.discard)
        raise
    return Exported(len(items), saved, done - saved)


async def _pages(store: LocalStore) -> AsyncIterator[list[Message]]:
    """All messages, conversation by conversation, each from its end."""
    for conversation in await store.conversations():
        page = await store.messages(conversation, limit=PAGE)
        while page:
            yield page
            page = await store.messages(conversation, before=page[0], limit=PAGE)


class _NewFile:
    """A file that gets its name when it is whole."""

    def __init__(self, file: Path, stream: BinaryIO, writer: BackupWriter) -> None:
        self._file = file
        self._stream = stream
        self._writer = writer

    @classmethod
    def begin(cls, file: Path, passphrase: str, cost: Argon2Cost) -> _NewFile:
        unfinished = _unfinished(file)
        with storage_errors():
            unfinished.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            stream = os.fdopen(os.open(unfinished, flags, PRIVATE_FILE), "wb")
        try:
            with storage_errors():
                return cls(file, stream, BackupWriter.begin(stream, passphrase, cost=cost))
        except BaseException:
            stream.close()
            unfinished.unlink()
            raise

    def write(self, items: Sequence[Item]) -> None:
        with storage_errors():
            for item in items:
                self._writer.write(encode_item(item))

    def finish(self) -> None:
        with storage_errors():
            self._writer.finish()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            _unfinished(self._file).replace(self._file)
            sync_folder(self._file.parent)

    def discard(self) -> None:
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            _unfinished(self._file).unlink(missing_ok=True)


def _unfinished(file: Path) -> Path:
    return file.with_name(file.name + ".unfinished")


# --- Import ------------------------------------------------------------------------------


async def import_backup(
    engine: Engine,
    store: LocalStore,
    file: Path,
    passphrase: str,
    *,
    progress: Progress | None = None,
) -> Imported:
    """Merge a backup of this account into this home.

    Raises `BACKUP_UNKNOWN`, `BACKUP_PASSPHRASE`, `BACKUP_DAMAGED` and `BACKUP_OTHER`, all before
    anything is changed, and `StorageError`.
    """
    machine = await engine.current()
    opened = await run_slow(_Opened.check, file, passphrase, machine.account_id)
    try:
        before = await store.message_count()
        await engine.step(lambda current, now: current.take_known(opened.known, now))
        done = 0
        while page := await run_slow(opened.next_messages):
            await store.apply([PutMessage(message) for message in page])
            done += len(page)
            if progress is not None:
                progress(done, opened.messages)
        new = await store.message_count() - before
    finally:
        await run_slow(opened.close)
    return Imported(opened.head.created_at, len(opened.known), done, new)


class _Opened:
    """A backup that was read to its end once and is known to be whole."""

    def __init__(self, stream: BinaryIO, reader: BackupReader, account_id: bytes) -> None:
        self._stream = stream
        self._reader = reader
        self.head = read_head(reader)
        if self.head.account_id != account_id:
            raise UsageError(Code.BACKUP_OTHER, self.head.name)
        self.known: list[bytes] = []
        self.messages = 0
        for item in read_items(reader):
            if isinstance(item, Known):
                self.known.append(item.content)
            else:
                item.message()
                self.messages += 1
        reader.rewind()
        read_head(reader)
        self._items = read_items(reader)

    @classmethod
    def check(cls, file: Path, passphrase: str, account_id: bytes) -> _Opened:
        try:
            stream = file.open("rb")
        except OSError as error:
            raise UsageError(
                Code.USAGE_INVALID, f"{file.name}: {error.strerror or 'not readable'}"
            ) from error
        try:
            with storage_errors():
                return cls(stream, BackupReader.begin(stream, passphrase), account_id)
        except BaseException:
            stream.close()
            raise

    def next_messages(self) -> list[Message]:
        """The next messages, or none at the end."""
        page: list[Message] = []
        with storage_errors():
            for item in self._items:
                if isinstance(item, SavedMessage):
                    page.append(item.message())
                if len(page) == PAGE:
                    break
        return page

    def close(self) -> None:
        self._stream.close()
