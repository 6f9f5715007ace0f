"""What is inside an encrypted entry: the content with what makes loss and reordering visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.conversation.content import MAX_ENCODED
from parlour.errors import Code, DecodeError

FORMAT: Final = 1
# What databases take; a larger one would make every write of the reader fail.
MAX_NUMBER: Final = (1 << 63) - 1
_HASH_SIZE: Final = 32
# Sizes that a ciphertext can have: steps of 256 bytes to 1 KiB, then doubling. The server sees
# the class, not the length.
_STEP: Final = 256
_LINEAR_TO: Final = 1024


@dataclass(frozen=True, slots=True)
class Inner:
    """One message inside its encryption.

    `counter` numbers the messages of one device in one conversation from 1; 0 stands for control
    messages outside the count. `last_seq` and `last_hash` name the newest entry that the sender
    had seen in this conversation: a server that drops, reorders or shows different histories to
    different people is noticed with the next message. `after` is the generation and epoch in which
    the device said the one before: who came after the first ones knows by it whether that one was
    for them, and is missing. `sent_at` is in milliseconds.

    ::

        struct {
            uint8  format = 1;
            uint64 counter;
            uint64 sent_at;
            uint64 last_seq;            /* 0: none */
            opaque last_hash<V>;        /* empty or 32 bytes */
            uint32 after_generation;    /* outside of groups both are 0 */
            uint64 after_epoch;
            opaque content<V>;
            uint8  padding[];           /* zeros */
        } Inner;
    """

    counter: int
    sent_at: int
    last_seq: int
    last_hash: bytes
    content: bytes
    after: tuple[int, int] = (0, 0)

    def encode(self) -> bytes:
        """Encode it, padded to its size class."""
        writer = Writer().uint8(FORMAT).uint64(self.counter).uint64(self.sent_at)
        generation, epoch = self.after
        writer.uint64(self.last_seq).opaque(self.last_hash).uint32(generation).uint64(epoch)
        writer.opaque(self.content)
        data = writer.data()
        return data + bytes(size_class(len(data)) - len(data))

    @classmethod
    def decode(cls, data: bytes) -> Inner:
        """Decode it; padding that is not zero is malformed."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> Inner:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "inner message")
        inner = cls(
            counter=reader.uint64(),
            sent_at=reader.uint64(),
            last_seq=reader.uint64(),
            last_hash=reader.opaque(_HASH_SIZE),
            after=(reader.uint32(), reader.uint64()),
            content=reader.opaque(MAX_ENCODED),
        )
        if max(inner.counter, inner.sent_at, inner.last_seq, *inner.after) > MAX_NUMBER:
            raise DecodeError(Code.DECODE_MALFORMED, "number")
        if any(reader.rest()):
            raise DecodeError(Code.DECODE_MALFORMED, "padding")
        if len(inner.last_hash) not in (0, _HASH_SIZE):
            raise DecodeError(Code.DECODE_MALFORMED, "hash of the last entry")
        return inner


def size_class(size: int) -> int:
    """The size of the class that `size` bytes fall into."""
    if size <= _LINEAR_TO:
        return max(-(-size // _STEP), 1) * _STEP
    return 1 << (size - 1).bit_length()
