"""GroupInfo: an epoch as it is shown to those who are not in it yet.

Spec: RFC 9420 §12.4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from parlour.codec import Reader, encode_opaque
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.limits import MAX_HASH, MAX_SIGNATURE
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import LeafIndex
from parlour.primitives.signature import SignaturePrivateKey

_LABEL = b"GroupInfoTBS"


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """Signed by the member at leaf `signer`.

    ::

        struct {
            GroupContext group_context;
            Extension extensions<V>;
            MAC confirmation_tag;
            uint32 signer;
            /* SignWithLabel(., "GroupInfoTBS", GroupInfoTBS) */
            opaque signature<V>;
        } GroupInfo;
    """

    group_context: GroupContext
    extensions: Extensions
    confirmation_tag: bytes
    signer: LeafIndex
    signature: bytes
    encoded: bytes = field(repr=False)
    content_size: int = field(repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        start = reader.offset
        group_context = GroupContext.read(reader)
        extensions = Extensions.read(reader)
        tag = reader.opaque(MAX_HASH)
        signer = LeafIndex(reader.uint32())
        size = reader.offset - start
        signature = reader.opaque(MAX_SIGNATURE)
        return cls(group_context, extensions, tag, signer, signature, reader.since(start), size)

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignaturePrivateKey,
        group_context: GroupContext,
        extensions: Extensions,
        confirmation_tag: bytes,
        signer: LeafIndex,
    ) -> Self:
        """Make one."""
        tbs = (
            group_context.encoded,
            *extensions.parts(),
            encode_opaque(confirmation_tag),
            signer.to_bytes(4),
        )
        signature = suite.sign_with_label(key, _LABEL, *tbs)
        encoded = b"".join((*tbs, encode_opaque(signature)))
        size = sum(map(len, tbs))
        return cls(group_context, extensions, confirmation_tag, signer, signature, encoded, size)

    def signed_data(self, suite: CipherSuite) -> bytes:
        """What `signature` has to be over."""
        return suite.sign_content(_LABEL, self.encoded[: self.content_size])
