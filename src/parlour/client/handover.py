"""What an old device hands to a new one beside the account: `identity.linking` carries it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from parlour.errors import Code, DecodeError


class Handover(Struct, array_like=True, frozen=True):
    """The answer's `snapshot`, as clients write it.

    `vaults` is the number of the account's vaults: a new device has seen none itself, and would
    take an old one, which a server may still have, for the newest. `snapshot` is the machine's.
    """

    vaults: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    snapshot: bytes

    def __repr__(self) -> str:
        return f"Handover(vaults={self.vaults})"

    def encode(self) -> bytes:
        """Encode, as MessagePack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Handover:
        """Decode; raises `DecodeError`."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise DecodeError(
                Code.DECODE_MALFORMED, "what the other device handed over"
            ) from problem
