"""Names of pre-shared keys.

Spec: RFC 9420 §8.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from parlour.codec import Reader, Writer
from parlour.errors import Code, DecodeError
from parlour.mls.public.limits import MAX_GROUP_ID, MAX_HASH, MAX_KEY
from parlour.mls.public.types import PskType, ResumptionPskUsage


@dataclass(frozen=True, slots=True)
class ExternalPskId:
    """A key that the application gives, by its name."""

    psk_id: bytes


@dataclass(frozen=True, slots=True)
class ResumptionPskId:
    """The `resumption_psk` of a group's epoch, and what for."""

    usage: ResumptionPskUsage
    psk_group_id: bytes
    psk_epoch: int


@dataclass(frozen=True, slots=True)
class PreSharedKeyId:
    """Which key, with a nonce that makes each use another.

    ::

        struct {
          PSKType psktype;
          select (PreSharedKeyID.psktype) {
            case external:
              opaque psk_id<V>;
            case resumption:
              ResumptionPSKUsage usage;
              opaque psk_group_id<V>;
              uint64 psk_epoch;
          };
          opaque psk_nonce<V>;
        } PreSharedKeyID;
    """

    key: ExternalPskId | ResumptionPskId
    psk_nonce: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        key: ExternalPskId | ResumptionPskId
        try:
            if PskType(reader.uint8()) is PskType.EXTERNAL:
                key = ExternalPskId(reader.opaque(MAX_KEY))
            else:
                usage = ResumptionPskUsage(reader.uint8())
                key = ResumptionPskId(usage, reader.opaque(MAX_GROUP_ID), reader.uint64())
        except ValueError:
            raise DecodeError(Code.DECODE_MALFORMED, "PreSharedKeyID") from None
        return cls(key, reader.opaque(MAX_HASH))

    def encode(self) -> bytes:
        """Encode it."""
        writer = Writer()
        if isinstance(self.key, ExternalPskId):
            writer.uint8(PskType.EXTERNAL).opaque(self.key.psk_id)
        else:
            writer.uint8(PskType.RESUMPTION).uint8(self.key.usage)
            writer.opaque(self.key.psk_group_id).uint64(self.key.psk_epoch)
        return writer.opaque(self.psk_nonce).data()
