import pytest

from parlour.codec import Writer
from parlour.conversation.content import MAX_ENCODED
from parlour.conversation.inner import Inner, size_class
from parlour.errors import Code, ParlourError
from parlour.wire.limits import MAX_BODY

_INNER = Inner(
    counter=3,
    sent_at=1_800_000_000_000,
    last_seq=9,
    last_hash=b"h" * 32,
    content=b"c",
    after=(1, 7),
)


@pytest.mark.parametrize("size", [0, 1, 200, 256, 1000, 1024, 1025, 5000, MAX_ENCODED])
def test_is_padded_to_a_class_and_comes_back(size: int) -> None:
    inner = Inner(1, 2, 0, b"", bytes(size))
    data = inner.encode()
    assert len(data) == size_class(len(data)) < MAX_BODY
    assert Inner.decode(data) == inner


def test_size_classes() -> None:
    sizes = [0, 1, 256, 257, 1024, 1025, 2048, 2049]
    assert [size_class(size) for size in sizes] == [256, 256, 256, 512, 1024, 2048, 2048, 4096]


def test_lengths_of_one_class_look_the_same() -> None:
    assert len(Inner(1, 2, 0, b"", b"yes").encode()) == len(Inner(1, 2, 0, b"", b"no").encode())


def _with(position: int, value: bytes) -> bytes:
    data = bytearray(_INNER.encode())
    data[position : position + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_with(0, b"\x02"), Code.DECODE_VERSION),
        (_with(-1, b"\x01"), Code.DECODE_MALFORMED),
        (_with(1, b"\xff"), Code.DECODE_MALFORMED),  # the counter
        (_with(9, b"\xff"), Code.DECODE_MALFORMED),  # the time, which a database could not take
        (_with(17, b"\x80"), Code.DECODE_MALFORMED),  # the number seen last
        (_with(17 + 8 + 33 + 4, b"\x80"), Code.DECODE_MALFORMED),  # the epoch of the one before
        (b"", Code.DECODE_TRUNCATED),
    ],
)
def test_refuses(data: bytes, code: Code) -> None:
    with pytest.raises(ParlourError) as caught:
        Inner.decode(data)
    assert caught.value.code is code


def test_refuses_a_hash_of_another_size() -> None:
    writer = Writer().uint8(1).uint64(1).uint64(1).uint64(1).opaque(b"short")
    writer.uint32(0).uint64(0).opaque(b"")
    with pytest.raises(ParlourError) as caught:
        Inner.decode(writer.data())
    assert caught.value.code is Code.DECODE_MALFORMED
