"""Framed content: what is said in which epoch of which group, and by whom.

Spec: RFC 9420 §6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeAlias, assert_never

from parlour.codec import Reader, Writer, encode_opaque
from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.public.commit import Commit
from parlour.mls.public.limits import (
    MAX_AUTHENTICATED_DATA,
    MAX_GROUP_ID,
    MAX_HASH,
    MAX_PLAINTEXT,
    MAX_SIGNATURE,
)
from parlour.mls.public.proposals import (
    Proposal,
    encode_proposal,
    read_proposal,
    reference_label,
)
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import ContentType, LeafIndex, SenderType, WireFormat


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent it: a leaf, an entry of `external_senders`, or somebody new (index 0)."""

    sender_type: SenderType
    index: int = 0

    @classmethod
    def member(cls, leaf_index: LeafIndex) -> Self:
        """The member at a leaf."""
        return cls(SenderType.MEMBER, leaf_index)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        try:
            sender_type = SenderType(reader.uint8())
        except ValueError:
            raise DecodeError(Code.DECODE_MALFORMED, "sender_type") from None
        if sender_type in (SenderType.MEMBER, SenderType.EXTERNAL):
            return cls(sender_type, reader.uint32())
        return cls(sender_type)

    def encode(self) -> bytes:
        """Encode it."""
        data = self.sender_type.to_bytes(1)
        if self.sender_type in (SenderType.MEMBER, SenderType.EXTERNAL):
            return data + self.index.to_bytes(4)
        return data

    @property
    def leaf_index(self) -> LeafIndex | None:
        """The leaf of a member."""
        return LeafIndex(self.index) if self.sender_type is SenderType.MEMBER else None


NEW_MEMBER_COMMIT = Sender(SenderType.NEW_MEMBER_COMMIT)
NEW_MEMBER_PROPOSAL = Sender(SenderType.NEW_MEMBER_PROPOSAL)

Body: TypeAlias = bytes | Proposal | Commit


def read_content_type(reader: Reader) -> ContentType:
    """Decode a `ContentType`."""
    try:
        return ContentType(reader.uint8())
    except ValueError:
        raise DecodeError(Code.DECODE_MALFORMED, "content_type") from None


def read_body(reader: Reader, content_type: ContentType) -> Body:
    """Decode what a content type announces."""
    match content_type:
        case ContentType.APPLICATION:
            return reader.opaque(MAX_PLAINTEXT)
        case ContentType.PROPOSAL:
            return read_proposal(reader)
        case ContentType.COMMIT:
            return Commit.read(reader)
        case unknown:
            assert_never(unknown)


def _encode_body(body: Body) -> bytes:
    if isinstance(body, bytes):
        return encode_opaque(body)
    if isinstance(body, Commit):
        return body.encode()
    return encode_proposal(body)


def _content_type(body: Body) -> ContentType:
    if isinstance(body, bytes):
        return ContentType.APPLICATION
    return ContentType.COMMIT if isinstance(body, Commit) else ContentType.PROPOSAL


@dataclass(frozen=True, slots=True)
class FramedContent:
    """One message's content. `encoded` is it as it was or will be spelled.

    ::

        struct {
            opaque group_id<V>;
            uint64 epoch;
            Sender sender;
            opaque authenticated_data<V>;

            ContentType content_type;
            select (FramedContent.content_type) {
                case application: opaque application_data<V>;
                case proposal:    Proposal proposal;
                case commit:      Commit commit;
            };
        } FramedContent;
    """

    group_id: bytes
    epoch: int
    sender: Sender
    authenticated_data: bytes
    content_type: ContentType
    body: Body
    encoded: bytes = field(repr=False)
    body_offset: int = field(repr=False)

    @classmethod
    def of(
        cls,
        group_id: bytes,
        epoch: int,
        sender: Sender,
        authenticated_data: bytes,
        body: Body,
        encoded_body: bytes | None = None,
    ) -> Self:
        """Content that is about to be sent, or came in the parts of a PrivateMessage."""
        if len(authenticated_data) > MAX_AUTHENTICATED_DATA:
            # Nobody would read it.
            raise UsageError(Code.USAGE_INVALID, "too much authenticated data")
        content_type = _content_type(body)
        head = b"".join(
            (
                encode_opaque(group_id),
                epoch.to_bytes(8),
                sender.encode(),
                encode_opaque(authenticated_data),
                content_type.to_bytes(1),
            )
        )
        encoded = head + (_encode_body(body) if encoded_body is None else encoded_body)
        return cls(
            group_id, epoch, sender, authenticated_data, content_type, body, encoded, len(head)
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode it."""
        start = reader.offset
        group_id = reader.opaque(MAX_GROUP_ID)
        epoch = reader.uint64()
        sender = Sender.read(reader)
        authenticated_data = reader.opaque(MAX_AUTHENTICATED_DATA)
        content_type = read_content_type(reader)
        offset = reader.offset - start
        body = read_body(reader, content_type)
        return cls(
            group_id,
            epoch,
            sender,
            authenticated_data,
            content_type,
            body,
            reader.since(start),
            offset,
        )

    @property
    def encoded_body(self) -> bytes:
        """The part that a PrivateMessage encrypts."""
        return self.encoded[self.body_offset :]


@dataclass(frozen=True, slots=True)
class AuthData:
    """FramedContentAuthData: `opaque signature<V>`, and of a commit `MAC confirmation_tag`."""

    signature: bytes
    confirmation_tag: bytes | None = None

    @classmethod
    def read(cls, reader: Reader, content_type: ContentType) -> Self:
        """Decode it."""
        signature = reader.opaque(MAX_SIGNATURE)
        tag = reader.opaque(MAX_HASH) if content_type is ContentType.COMMIT else None
        return cls(signature, tag)

    def encode(self) -> bytes:
        """Encode it."""
        data = encode_opaque(self.signature)
        return (
            data if self.confirmation_tag is None else data + encode_opaque(self.confirmation_tag)
        )


@dataclass(frozen=True, slots=True)
class AuthenticatedContent:
    """`WireFormat wire_format; FramedContent content; FramedContentAuthData auth`."""

    wire_format: WireFormat
    content: FramedContent
    auth: AuthData

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode it."""
        try:
            wire_format = WireFormat(reader.uint16())
        except ValueError:
            raise DecodeError(Code.DECODE_MALFORMED, "wire_format") from None
        content = FramedContent.read(reader)
        return cls(wire_format, content, AuthData.read(reader, content.content_type))

    def encode(self) -> bytes:
        """Encode it."""
        writer = Writer().uint16(self.wire_format)
        return writer.data() + self.content.encoded + self.auth.encode()

    def proposal_ref(self, suite: CipherSuite) -> bytes:
        """ProposalRef (§5.2): by what a commit names this proposal."""
        return suite.ref_hash(reference_label(), self.encode())
