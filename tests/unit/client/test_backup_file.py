"""The file of a backup: what was written comes back, or an error says what is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from parlour.client import backup_file
from parlour.client.backup_file import CHUNK, HEADER_SIZE, BackupReader, BackupWriter
from parlour.errors import AccessError, Code, ParlourError
from parlour.primitives.aead import TAG_SIZE
from parlour.primitives.kdf import Argon2Cost

CHEAP = Argon2Cost(memory_kib=8, passes=1)
WORDS = "legal winner thank year wave sausage"
SEALED = CHUNK + TAG_SIZE


def written(*pieces: bytes, passphrase: str = WORDS) -> bytes:
    file = io.BytesIO()
    writer = BackupWriter.begin(file, passphrase, cost=CHEAP)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return file.getvalue()


def read(data: bytes, size: int, passphrase: str = WORDS) -> bytes:
    reader = BackupReader.begin(io.BytesIO(data), passphrase)
    found = reader.read(size)
    reader.expect_end()
    return found


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_was_written_is_read(size: int) -> None:
    data = bytes(at % 251 for at in range(size))
    file = written(data[: size // 3], data[size // 3 :])
    assert len(file) == HEADER_SIZE + size + TAG_SIZE * max(-(-size // CHUNK), 1)
    if size:
        assert read(file, size) == data
    assert size < CHUNK - 1 or data[:64] not in file


def test_it_is_read_again_after_a_rewind() -> None:
    reader = BackupReader.begin(io.BytesIO(written(b"x" * CHUNK + b"end")), WORDS)
    first = reader.read(CHUNK + 3)
    reader.rewind()
    assert reader.read(CHUNK + 3) == first


def test_two_backups_of_the_same_share_nothing() -> None:
    one, other = written(b"the same"), written(b"the same")
    assert one[HEADER_SIZE:] != other[HEADER_SIZE:]


@pytest.mark.parametrize("wrong", ["legal winner thank year wave sausages", "", "tab\there"])
def test_another_passphrase_opens_nothing(wrong: str) -> None:
    with pytest.raises(AccessError) as caught:
        read(written(b"data"), 4, wrong)
    assert caught.value.code is Code.BACKUP_PASSPHRASE


def chunks(data: bytes) -> list[bytes]:
    body = data[HEADER_SIZE:]
    return [body[at : at + SEALED] for at in range(0, len(body), SEALED)]


def arranged(data: bytes, *order: int) -> bytes:
    found = chunks(data)
    return data[:HEADER_SIZE] + b"".join(found[at] for at in order)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\x00",
        lambda data: data[:HEADER_SIZE],
        lambda data: data[: HEADER_SIZE - 1],
        lambda data: data[:HEADER_SIZE] + bytes((data[HEADER_SIZE] ^ 1,)) + data[HEADER_SIZE + 1 :],
        lambda data: arranged(data, 0, 1),
        lambda data: arranged(data, 1, 0, 2),
        lambda data: arranged(data, 0, 2),
        lambda data: arranged(data, 0, 0, 1, 2),
        lambda data: arranged(data, 0, 1, 2, 2),
        lambda data: data[:HEADER_SIZE] + written(bytes(CHUNK * 2 + 5))[HEADER_SIZE:],
    ],
    ids=[
        "last byte missing",
        "a byte more",
        "no chunk",
        "half a header",
        "a bit flipped",
        "last chunk missing",
        "two exchanged",
        "one left out",
        "one twice",
        "the last twice",
        "chunks of another file",
    ],
)
def test_damage_is_found(change: Callable[[bytes], bytes]) -> None:
    data = written(b"a" * CHUNK + b"b" * CHUNK + b"end!!")
    with pytest.raises(ParlourError) as caught:
        read(change(data), CHUNK * 2 + 5)
    assert caught.value.code is Code.BACKUP_DAMAGED


def test_too_much_and_too_little_is_asked_for() -> None:
    data = written(b"four")
    for size in (3, 5):
        with pytest.raises(ParlourError) as caught:
            read(data, size)
        assert caught.value.code is Code.BACKUP_DAMAGED


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\x00" + bytes(100), b"parlour backup"])
def test_what_is_no_backup(data: bytes) -> None:
    with pytest.raises(ParlourError) as caught:
        read(data, 1)
    assert caught.value.code is Code.BACKUP_UNKNOWN


def test_one_of_a_newer_program() -> None:
    data = bytearray(written(b"data"))
    data[len(backup_file.MAGIC)] = 2
    with pytest.raises(ParlourError, match="newer program") as caught:
        read(bytes(data), 4)
    assert caught.value.code is Code.BACKUP_UNKNOWN


@pytest.mark.parametrize("at", range(len(backup_file.MAGIC) + 1, HEADER_SIZE))
def test_every_byte_of_the_header_counts(at: int) -> None:
    data = bytearray(written(b"data"))
    # The lowest bit: a header that asks for a little more is stretched, and one for much is not.
    data[at] ^= 1
    with pytest.raises(ParlourError) as caught:
        read(bytes(data), 4)
    assert caught.value.code in (Code.BACKUP_PASSPHRASE, Code.BACKUP_DAMAGED)


def test_a_header_that_asks_for_days_is_refused() -> None:
    data = bytearray(written(b"data"))
    at = len(backup_file.MAGIC) + 1 + backup_file.SALT_SIZE
    for cost in ((1 << 31, 1, 1), (8, 1 << 20, 1), (8, 1, 255), (8, 0, 1), (4, 1, 1), (8, 1, 2)):
        data[at : at + 12] = b"".join(value.to_bytes(4) for value in cost)
        with pytest.raises(ParlourError, match="asks for more") as caught:
            read(bytes(data), 4)
        assert caught.value.code is Code.BACKUP_DAMAGED
