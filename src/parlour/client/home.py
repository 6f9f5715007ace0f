"""The home: the folder that holds one client, opened by one program at a time.

::

    home/            0700
      lock           held while a program uses the home
      vault.json     the database key, wrapped (`vault_file`)
      store.db       the database (`store`), with store.db-wal beside it while it is open
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from parlour.client import vault_file
from parlour.client.files import make_private_folder, storage_errors, sync_folder
from parlour.client.keychain import Keychain
from parlour.client.keys import DatabaseKey
from parlour.client.lock import HomeLock
from parlour.client.store import LocalStore
from parlour.client.vault_file import KeychainLock, Lock, PasswordLock
from parlour.client.workers import run_slow
from parlour.errors import Code, UsageError, error
from parlour.primitives.random import Random, system_random

STORE_NAME: Final = "store.db"
# Whoever has so many has something else in mind.
MAX_ASIDE: Final = 100

__all__ = ["Home", "KeychainLock", "PasswordLock", "move_aside", "new_lock"]


def new_lock(password: str, keychain: str | None = None) -> Lock:
    """What a new home opens by: the keychain of that name, or else the password."""
    return PasswordLock(password) if keychain is None else KeychainLock(keychain)


class Home:
    """An open home. Made by `create` or `open`, ended by `close` (or `discard`)."""

    def __init__(self, folder: Path, lock: HomeLock, store: LocalStore) -> None:
        self.folder = folder
        self.store = store
        self._lock = lock

    @staticmethod
    async def keychain_of(folder: Path) -> str | None:
        """The keychain that opens this home, or None when a password does: then ask for it.

        Raises `HOME_MISSING` when there is no home.
        """
        item = await run_slow(vault_file.keychain_item, folder)
        return None if item is None else item[0]

    @classmethod
    async def create(cls, folder: Path, lock: Lock, *, random: Random = system_random) -> Home:
        """Make a home with an empty store. Raises `HOME_EXISTS`, `STORE_LOCKED`, `StorageError`.

        A store without a vault, which a crash in here leaves, can't be opened by anybody and is
        replaced.
        """
        held = await _acquire(_lock_new, folder)
        try:
            key = DatabaseKey.generate(random)
            await run_slow(_forget_store, folder)
            await run_slow(vault_file.wrap, folder, key, lock, random=random)
            return cls(folder, held, await LocalStore.open(folder / STORE_NAME, key))
        except BaseException:
            held.release()
            raise

    @classmethod
    async def open(cls, folder: Path, password: str | None = None) -> Home:
        """Open a home; `password` is needed where no keychain opens it (`keychain_of`).

        Raises `HOME_MISSING`, `STORE_LOCKED`, `STORE_PASSWORD`, `STORE_KEYCHAIN`, `StorageError`.
        """
        held = await _acquire(_lock_existing, folder)
        try:
            key = await run_slow(vault_file.unwrap, folder, password)
            return cls(folder, held, await LocalStore.open(folder / STORE_NAME, key))
        except BaseException:
            held.release()
            raise

    async def change_lock(
        self, lock: Lock, *, password: str | None = None, random: Random = system_random
    ) -> None:
        """Open this home by another password or keychain from now on.

        `password` is the old one: who finds a program open must not take the home over.
        """
        await run_slow(_change_lock, self.folder, lock, password, random)

    async def close(self) -> None:
        """Close the store and let other programs in. Calling it again does nothing."""
        try:
            await self.store.close()
        finally:
            self._lock.release()

    async def discard(self) -> None:
        """Close and delete everything: for a registration that the server refused."""
        try:
            await self.store.close()
            await run_slow(vault_file.forget, self.folder)
            await run_slow(_forget_store, self.folder)
        finally:
            self._lock.release()


async def move_aside(folder: Path) -> Path:
    """Rename a home that nobody opens now, so that another one can take its place.

    Nothing in it is lost: whoever remembers its password opens it where it is then. Raises
    `HOME_MISSING`, `STORE_LOCKED`, `StorageError`.
    """
    return await run_slow(_move_aside, folder)


def _move_aside(folder: Path) -> Path:
    held = _lock_existing(folder)
    try:
        with storage_errors():
            for number in range(1, MAX_ASIDE):
                aside = folder.with_name(f"{folder.name}.locked-{number}")
                if not aside.exists():
                    folder.rename(aside)
                    sync_folder(folder.parent)
                    return aside
    finally:
        held.release()
    raise error(Code.LIMIT_COUNT, "homes that were moved aside")


async def _acquire(lock: Callable[[Path], HomeLock], folder: Path) -> HomeLock:
    """Take the lock, and let it go again if nobody waits for it any more."""
    taking = asyncio.ensure_future(run_slow(lock, folder))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_release_unheld)
        raise


def _release_unheld(taking: asyncio.Future[HomeLock]) -> None:
    if not taking.cancelled() and taking.exception() is None:
        taking.result().release()


def _lock_new(folder: Path) -> HomeLock:
    make_private_folder(folder)
    held = HomeLock.acquire(folder)
    if vault_file.exists(folder):
        held.release()
        raise UsageError(Code.HOME_EXISTS)
    return held


def _lock_existing(folder: Path) -> HomeLock:
    if not vault_file.exists(folder):
        raise UsageError(Code.HOME_MISSING)
    make_private_folder(folder)
    return HomeLock.acquire(folder)


def _forget_store(folder: Path) -> None:
    with storage_errors():
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / (STORE_NAME + suffix)).unlink(missing_ok=True)
        sync_folder(folder)


def _change_lock(folder: Path, lock: Lock, password: str | None, random: Random) -> None:
    old = vault_file.keychain_item(folder)
    vault_file.wrap(folder, vault_file.unwrap(folder, password), lock, random=random)
    if old is not None:
        keychain, item = old
        Keychain.open(keychain).delete(item)
