"""What binds an epoch of MLS to an entry of the roster's log: an extension of the GroupContext.

It stands in `required_capabilities`, so no member overlooks it, and it is part of what every
member confirms with each commit (RFC 9420 §8.1, §11.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.primitives.hashes import SHA256_SIZE

# RFC 9420 §17.3: 0xF000 to 0xFFFF are for private use.
EXTENSION_TYPE: Final = 0xF0A0


@dataclass(frozen=True, slots=True)
class RosterBinding:
    """Which entry of which log an epoch stands on.

    ::

        struct {
            opaque genesis_hash[32];
            uint64 number;
            opaque head[32];
        } RosterBinding;
    """

    genesis_hash: bytes
    number: int
    head: bytes

    def encode(self) -> bytes:
        """The extension's data, 72 bytes."""
        writer = Writer().fixed(self.genesis_hash, SHA256_SIZE).uint64(self.number)
        return writer.fixed(self.head, SHA256_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> RosterBinding:
        """Read the extension's data, or raise `DecodeError`."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> RosterBinding:
        return cls(reader.fixed(SHA256_SIZE), reader.uint64(), reader.fixed(SHA256_SIZE))
