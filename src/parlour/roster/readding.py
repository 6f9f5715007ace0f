"""The wish of a device that lost its way to be taken out of a group and in again, by one commit.

Whoever takes a device out and in again could choose a key package that the device can't open any
more. So nobody does it unasked: the commit carries this wish, which the device has signed, which is
good for an hour, and once, and which names the key package by which the device comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, SecurityStop
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.signature import (
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.limits import ID_SIZE

FORMAT: Final = 1
# How old a wish may be (ms) when a commit fulfils it: the way to a member that is there takes less.
MAX_WISH_AGE: Final = 3_600_000
# How far ahead (ms) the clock of a device may be. One that is wrong by more comes back by itself.
MAX_WISH_AHEAD: Final = 600_000


@dataclass(frozen=True, slots=True)
class ReaddWish:
    """A wish: lost in that epoch of that generation, `at` (ms). Decoded only: see `check`.

    `package` is the reference of the key package to come by (RFC 9420 §5.2).
    """

    stream: bytes
    generation: int
    epoch: int
    account: bytes
    device: bytes
    package: bytes
    at: int
    signature: bytes = b""

    @property
    def _content(self) -> bytes:
        """What is signed.

        ::

            struct {
                uint8  format = 1;
                opaque stream[16];
                uint32 generation;
                uint64 epoch;
                opaque account[16];
                opaque device[16];
                opaque package[32];         /* the hash of a suite's key packages */
                uint64 at;                  /* milliseconds */
            } ReaddWishTBS;
        """
        writer = Writer().uint8(FORMAT).fixed(self.stream, ID_SIZE).uint32(self.generation)
        writer.uint64(self.epoch).fixed(self.account, ID_SIZE).fixed(self.device, ID_SIZE)
        writer.fixed(self.package, SHA256_SIZE)
        return writer.uint64(self.at).data()

    def sign(self, device_key: Ed25519PrivateKey) -> ReaddWish:
        """The same wish with its signature."""
        signature = device_signature.sign(labels.READD, self._content, self.device, device_key)
        return replace(self, signature=signature)

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]`: 167 bytes."""
        writer = Writer().opaque(self._content)
        return writer.fixed(self.signature, ED25519_SIGNATURE_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> ReaddWish:
        """Read what `encode` wrote, or raise `DecodeError`."""
        content, signature = decode(
            data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE))
        )
        return replace(decode(content, cls._read), signature=signature)

    @classmethod
    def _read(cls, reader: Reader) -> ReaddWish:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "a wish to be added again")
        return cls(
            stream=reader.fixed(ID_SIZE),
            generation=reader.uint32(),
            epoch=reader.uint64(),
            account=reader.fixed(ID_SIZE),
            device=reader.fixed(ID_SIZE),
            package=reader.fixed(SHA256_SIZE),
            at=reader.uint64(),
        )

    def check(
        self,
        stream: bytes,
        place: tuple[int, int],
        now: int,
        last: int,
        device_key: Ed25519PublicKey | None,
    ) -> None:
        """Return if it may be fulfilled, else raise `SecurityStop`.

        `place` is the generation and the epoch in which it would be, `now` the time there, `last`
        the time of the wish of that device that was fulfilled last, 0 for none (all in ms).
        """
        if self.stream != stream or (self.generation, self.epoch) > place:
            raise _refusal("for another group or a later epoch")
        if not now - MAX_WISH_AGE <= self.at <= now + MAX_WISH_AHEAD:
            raise _refusal("too old, or of a wrong clock")
        if self.at <= last:
            raise _refusal("fulfilled before")
        device_signature.verify(
            labels.READD, self._content, self.device, device_key, self.signature
        )


def _refusal(why: str) -> SecurityStop:
    return SecurityStop(Code.ROSTER_INVALID, f"a wish to be added again: {why}")
