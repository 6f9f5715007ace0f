"""Transcript hashes: everything that was ever committed, in 32 to 64 bytes.

Spec: RFC 9420 §8.2.
"""

from __future__ import annotations

from parlour.codec import encode_opaque
from parlour.mls.public.framing.content import FramedContent
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import WireFormat


def confirmed_transcript_hash(
    suite: CipherSuite,
    interim_before: bytes,
    wire_format: WireFormat,
    content: FramedContent,
    signature: bytes,
) -> bytes:
    """The hash up to and including the signature of a commit (ConfirmedTranscriptHashInput)."""
    return suite.hash_pieces(
        interim_before, wire_format.to_bytes(2), content.encoded, encode_opaque(signature)
    )


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """The hash that also covers the confirmation tag (InterimTranscriptHashInput)."""
    return suite.hash(confirmed + encode_opaque(confirmation_tag))
