r"""The file of a backup: a header, and chunks sealed under a key that only the passphrase gives.

::

    struct {
        opaque magic[16] = "parlour backup\r\n";
        uint8  format = 1;
        opaque salt[16];
        uint32 memory_kib;
        uint32 passes;
        uint32 lanes;
        opaque check[32];       /* HMAC-SHA256 over all before it */
    } Header;

Then come chunks of 64 KiB, each followed by its tag: AES-256-GCM, whose nonce is the chunk's number
and whether it is the last one. So chunks can't be left out, repeated or exchanged, and a file that
was cut off shows at its end. Both keys, of the check and of the chunks, are derived from the
Argon2id of passphrase and salt; the check binds them to one passphrase, and tells a wrong
passphrase from damage further on.

Everything here waits for the disk or computes long: call it by `workers.run_slow`.

Spec: RFC 9106 (Argon2id), NIST SP 800-38D (AES-GCM).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO, Final, Self

from parlour.client.vault_file import (
    DEFAULT_COST,
    MAX_LANES,
    MAX_MEMORY_KIB,
    MAX_PASSES,
    MAX_WORK_KIB,
)
from parlour.codec import Reader, Writer, decode
from parlour.errors import (
    AccessError,
    AuthenticationError,
    Code,
    DecodeError,
    SecurityStop,
    UsageError,
)
from parlour.login.names import password_bytes
from parlour.primitives.aead import AES_256_KEY_SIZE, NONCE_SIZE, TAG_SIZE, AesGcm
from parlour.primitives.hashes import SHA256_SIZE, equal, hmac_sha256
from parlour.primitives.kdf import Argon2Cost, argon2id, hkdf_expand
from parlour.primitives.random import Random, system_random

MAGIC: Final = b"parlour backup\r\n"
FORMAT: Final = 1
LABEL_CHECK: Final = b"parlour/1 client backup check"
LABEL_CHUNKS: Final = b"parlour/1 client backup chunks"
SALT_SIZE: Final = 16
CHUNK: Final = 64 << 10
_OPEN_SIZE: Final = len(MAGIC) + 1 + SALT_SIZE + 12
HEADER_SIZE: Final = _OPEN_SIZE + SHA256_SIZE
_COUNTER_SIZE: Final = NONCE_SIZE - 1


def not_ours(detail: str = "") -> UsageError:
    """The file is no backup that this program knows."""
    return UsageError(Code.BACKUP_UNKNOWN, detail)


def damaged(detail: str = "") -> SecurityStop:
    """The file is not what was written."""
    return SecurityStop(Code.BACKUP_DAMAGED, detail)


@dataclass(frozen=True, slots=True)
class _Keys:
    check: bytes = field(repr=False)
    chunks: AesGcm


def _keys(passphrase: str, salt: bytes, cost: Argon2Cost) -> _Keys:
    stretched = argon2id(password_bytes(passphrase), salt=salt, cost=cost)
    check = hkdf_expand(stretched, LABEL_CHECK, SHA256_SIZE)
    return _Keys(check, AesGcm(hkdf_expand(stretched, LABEL_CHUNKS, AES_256_KEY_SIZE)))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_SIZE) + bytes((last,))


class BackupWriter:
    """Writes a backup. `write` what it holds, then `finish`: without its end it is none."""

    def __init__(self, file: BinaryIO, chunks: AesGcm) -> None:
        self._file = file
        self._chunks = chunks
        self._number = 0
        self._waiting = bytearray()

    @classmethod
    def begin(
        cls,
        file: BinaryIO,
        passphrase: str,
        *,
        cost: Argon2Cost = DEFAULT_COST,
        random: Random = system_random,
    ) -> Self:
        """Write the header. Raises `USAGE_INVALID` for a passphrase without canonical form."""
        salt = random(SALT_SIZE)
        header = Writer().fixed(MAGIC, len(MAGIC)).uint8(FORMAT).fixed(salt, SALT_SIZE)
        header.uint32(cost.memory_kib).uint32(cost.passes).uint32(cost.lanes)
        keys = _keys(passphrase, salt, cost)
        file.write(header.data() + hmac_sha256(keys.check, header.data()))
        return cls(file, keys.chunks)

    def write(self, data: bytes) -> None:
        """Add data. A whole chunk leaves when it is known not to be the last."""
        self._waiting += data
        while len(self._waiting) > CHUNK:
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._chunks.seal(_nonce(self._number, last=last), chunk))
        self._number += 1


class BackupReader:
    """Reads a backup: `read` gives bytes that were written, in their order, or raises."""

    def __init__(self, file: BinaryIO, chunks: AesGcm) -> None:
        self._file = file
        self._chunks = chunks
        self.rewind()

    def rewind(self) -> None:
        """Begin again with the first byte that was written."""
        self._file.seek(HEADER_SIZE)
        self._number = 0
        self._opened = b""
        self._at = 0
        self._ended = False
        self._ahead = self._file.read(CHUNK + TAG_SIZE)

    @classmethod
    def begin(cls, file: BinaryIO, passphrase: str) -> Self:
        """Read the header of a file that stands at its beginning.

        Raises `BACKUP_UNKNOWN` for a file that is no backup, `BACKUP_PASSPHRASE`, `BACKUP_DAMAGED`.
        """
        data = file.read(HEADER_SIZE)
        header = Header.decode(data)
        try:
            keys = _keys(passphrase, header.salt, header.cost)
        except UsageError as error:
            raise AccessError(Code.BACKUP_PASSPHRASE, error.detail) from None
        if not equal(hmac_sha256(keys.check, data[:_OPEN_SIZE]), header.check):
            raise AccessError(Code.BACKUP_PASSPHRASE)
        return cls(file, keys.chunks)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises `BACKUP_DAMAGED` when there are not so many."""
        taken = bytearray()
        while len(taken) < size:
            if self._at == len(self._opened):
                self._open_next()
            piece = self._opened[self._at : self._at + size - len(taken)]
            self._at += len(piece)
            taken += piece
        return bytes(taken)

    def expect_end(self) -> None:
        """Return if nothing follows; raises `BACKUP_DAMAGED`."""
        if self._at != len(self._opened) or not self._ended:
            raise damaged("it goes on after its end")

    def _open_next(self) -> None:
        if self._ended:
            raise damaged("it ends too early")
        sealed, self._ahead = self._ahead, self._file.read(CHUNK + TAG_SIZE)
        last = not self._ahead
        try:
            self._opened = self._chunks.open(_nonce(self._number, last=last), sealed)
        except AuthenticationError:
            raise damaged("it was cut off, or is not as it was written") from None
        self._at = 0
        self._number += 1
        self._ended = last


@dataclass(frozen=True, slots=True)
class Header:
    """What stands at the beginning, unchecked."""

    salt: bytes
    cost: Argon2Cost
    check: bytes

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read a header; raises `BACKUP_UNKNOWN`, `BACKUP_DAMAGED`."""
        if data[: len(MAGIC)] != MAGIC:
            raise not_ours()
        try:
            return decode(data, cls._read)
        except DecodeError as error:
            raise damaged("it ends in its header") from error

    @classmethod
    def _read(cls, reader: Reader) -> Header:
        reader.fixed(len(MAGIC))
        if reader.uint8() != FORMAT:
            raise not_ours("it is of a newer program: update this one")
        salt = reader.fixed(SALT_SIZE)
        cost = Argon2Cost(reader.uint32(), reader.uint32(), reader.uint32())
        check = reader.fixed(SHA256_SIZE)
        _check_cost(cost)
        return cls(salt, cost, check)


def _check_cost(cost: Argon2Cost) -> None:
    """Refuse what would keep the program busy for days, or take all memory, before it is known."""
    fits = (
        8 * cost.lanes <= cost.memory_kib <= MAX_MEMORY_KIB
        and 1 <= cost.passes <= MAX_PASSES
        and 1 <= cost.lanes <= MAX_LANES
        and cost.memory_kib * cost.passes <= MAX_WORK_KIB
    )
    if not fits:
        raise damaged("its header asks for more than any backup does")
