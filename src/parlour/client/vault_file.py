"""`vault.json`: the database key, wrapped under a password or under a key in the keychain.

The wrapping key is Argon2id(password), or 32 random bytes that the keychain holds; a key derived
from it seals the database key by AES-256-GCM with every other field as associated data. So a file
whose fields were changed does not open, and neither does one put together from two.

All of it is slow or waits for the disk: call it by `workers.run_slow`.

Spec: RFC 9106 (Argon2id), NIST SP 800-38D (AES-GCM).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from parlour.client.files import read_bounded, storage_errors, sync_folder, write_atomic
from parlour.client.keychain import Keychain
from parlour.client.keys import DatabaseKey, WrappingKey
from parlour.codec import Writer
from parlour.errors import AccessError, AuthenticationError, Code, StorageError, UsageError
from parlour.login.names import password_bytes
from parlour.primitives import aead
from parlour.primitives.kdf import Argon2Cost, argon2id, hkdf_expand
from parlour.primitives.random import Random, system_random

VAULT_NAME: Final = "vault.json"
FORMAT: Final = 1
LABEL_HEADER: Final = b"parlour/1 client vault header"
LABEL_KEY: Final = b"parlour/1 client vault key"
SALT_SIZE: Final = 16
ITEM_SIZE: Final = 16
# The file has about 300 bytes.
MAX_FILE: Final = 4 << 10

DEFAULT_COST: Final = Argon2Cost(memory_kib=128 << 10, passes=3)
# What a file may ask for. Without these a swapped file could keep the program busy for days or
# take all memory before its tag is even looked at. Memory times passes is the time it takes.
MAX_MEMORY_KIB: Final = 1 << 20
MAX_PASSES: Final = 16
MAX_LANES: Final = 8
MAX_WORK_KIB: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class PasswordLock:
    """Wrap under a password. `cost` is recorded in the file."""

    password: str = field(repr=False)
    cost: Argon2Cost = DEFAULT_COST


@dataclass(frozen=True, slots=True)
class KeychainLock:
    """Wrap under a key in the keychain of that name (`keychain.BACKENDS`)."""

    keychain: str


Lock: TypeAlias = PasswordLock | KeychainLock

Hex = Annotated[str, Meta(max_length=256, pattern="^([0-9a-f]{2})*$")]


class _PasswordHeader(Struct, tag="password", frozen=True, forbid_unknown_fields=True):
    salt: Hex
    memory_kib: Annotated[int, Meta(ge=8, le=MAX_MEMORY_KIB)]
    passes: Annotated[int, Meta(ge=1, le=MAX_PASSES)]
    lanes: Annotated[int, Meta(ge=1, le=MAX_LANES)]

    def write(self, writer: Writer) -> None:
        writer.uint8(1).opaque(bytes.fromhex(self.salt))
        writer.uint32(self.memory_kib).uint32(self.passes).uint32(self.lanes)


class _KeychainHeader(Struct, tag="keychain", frozen=True, forbid_unknown_fields=True):
    keychain: Annotated[str, Meta(max_length=64)]
    item: Hex

    def write(self, writer: Writer) -> None:
        writer.uint8(2).opaque(self.keychain.encode()).opaque(bytes.fromhex(self.item))


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    lock: _PasswordHeader | _KeychainHeader
    nonce: Hex
    wrapped: Hex


def _associated_data(header: _PasswordHeader | _KeychainHeader) -> bytes:
    writer = Writer().opaque(LABEL_HEADER).uint8(FORMAT)
    header.write(writer)
    return writer.data()


def _sealing_key(key: WrappingKey) -> bytes:
    return hkdf_expand(key.reveal(), LABEL_KEY, aead.AES_256_KEY_SIZE)


def _stretch(password: str, header: _PasswordHeader) -> WrappingKey:
    cost = Argon2Cost(header.memory_kib, header.passes, header.lanes)
    salt = bytes.fromhex(header.salt)
    return WrappingKey(argon2id(password_bytes(password), salt=salt, cost=cost))


def wrap(folder: Path, key: DatabaseKey, lock: Lock, *, random: Random = system_random) -> None:
    """Write the vault of `folder` with `key` under `lock`, over one that is there.

    Raises `USAGE_INVALID` for a password without canonical form, `STORE_KEYCHAIN` when the
    keychain keeps nothing, `StorageError` when the disk doesn't.
    """
    header: _PasswordHeader | _KeychainHeader
    if isinstance(lock, PasswordLock):
        cost = lock.cost
        header = _PasswordHeader(random(SALT_SIZE).hex(), cost.memory_kib, cost.passes, cost.lanes)
        wrapping = _stretch(lock.password, header)
    else:
        header = _KeychainHeader(lock.keychain, random(ITEM_SIZE).hex())
        wrapping = WrappingKey.generate(random)
        Keychain.open(lock.keychain).set(header.item, wrapping)
    nonce = random(aead.NONCE_SIZE)
    sealed = aead.seal(_sealing_key(wrapping), nonce, key.reveal(), _associated_data(header))
    file = _File(FORMAT, header, nonce.hex(), sealed.hex())
    write_atomic(folder / VAULT_NAME, msgspec.json.format(msgspec.json.encode(file)) + b"\n")


def _read(folder: Path) -> _File:
    try:
        data = read_bounded(folder / VAULT_NAME, MAX_FILE)
    except FileNotFoundError:
        raise UsageError(Code.HOME_MISSING) from None
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StorageError(Code.STORE_BROKEN, f"{VAULT_NAME} is damaged") from error
    if file.format != FORMAT:
        raise StorageError(
            Code.STORE_BROKEN, f"{VAULT_NAME} is of a newer program: update this one"
        )
    lock = file.lock
    if isinstance(lock, _PasswordHeader) and lock.memory_kib * lock.passes > MAX_WORK_KIB:
        raise StorageError(Code.STORE_BROKEN, f"{VAULT_NAME} asks for too much work")
    return file


def exists(folder: Path) -> bool:
    """Whether the folder holds a vault."""
    return (folder / VAULT_NAME).exists()


def keychain_item(folder: Path) -> tuple[str, str] | None:
    """The keychain that opens this vault and its item there, or None when a password does.

    Raises `HOME_MISSING` or `STORE_BROKEN`.
    """
    lock = _read(folder).lock
    return (lock.keychain, lock.item) if isinstance(lock, _KeychainHeader) else None


def unwrap(folder: Path, password: str | None = None) -> DatabaseKey:
    """Open the vault of `folder`; `password` is not looked at when a keychain opens it.

    Raises `HOME_MISSING`, `STORE_PASSWORD` for a wrong password or a changed file, which nobody
    can tell apart, `STORE_KEYCHAIN`, `STORE_BROKEN`.
    """
    file = _read(folder)
    if isinstance(file.lock, _KeychainHeader):
        wrapping = Keychain.open(file.lock.keychain).get(file.lock.item)
    elif password is None:
        raise AccessError(Code.STORE_PASSWORD, "a password is needed")
    else:
        wrapping = _stretch_untrusted(password, file.lock)
    nonce, sealed = bytes.fromhex(file.nonce), bytes.fromhex(file.wrapped)
    try:
        return DatabaseKey(
            aead.open_(_sealing_key(wrapping), nonce, sealed, _associated_data(file.lock))
        )
    except AuthenticationError:
        raise AccessError(Code.STORE_PASSWORD) from None
    except UsageError as error:
        raise StorageError(Code.STORE_BROKEN, f"{VAULT_NAME} is damaged") from error


def _stretch_untrusted(password: str, header: _PasswordHeader) -> WrappingKey:
    """Stretch with a file's parameters: what they or the password lack is not our caller's."""
    try:
        return _stretch(password, header)
    except UsageError as error:
        raise AccessError(Code.STORE_PASSWORD, error.detail) from error


def forget(folder: Path) -> None:
    """Delete the vault, and its key in the keychain: what it opened is lost."""
    item = keychain_item(folder)
    with storage_errors():
        (folder / VAULT_NAME).unlink()
        sync_folder(folder)
    if item is not None:
        Keychain.open(item[0]).delete(item[1])
