"""Public and private messages, and the envelope of everything that MLS sends.

Spec: RFC 9420 §6, §6.2, §6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from parlour.codec import Reader, encode_opaque, opaque_parts
from parlour.errors import Code, DecodeError
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    FramedContent,
    read_content_type,
)
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.limits import (
    MAX_AUTHENTICATED_DATA,
    MAX_GROUP_ID,
    MAX_HASH,
    MAX_MESSAGE,
)
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.types import MLS10, ContentType, SenderType, WireFormat
from parlour.mls.public.welcome import Welcome


@dataclass(frozen=True, slots=True)
class PublicMessage:
    """Signed, and readable by all: content, authentication, and a member's `membership_tag`."""

    content: FramedContent
    auth: AuthData
    membership_tag: bytes | None = None

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        content = FramedContent.read(reader)
        auth = AuthData.read(reader, content.content_type)
        from_member = content.sender.sender_type is SenderType.MEMBER
        return cls(content, auth, reader.opaque(MAX_HASH) if from_member else None)

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        tag = b"" if self.membership_tag is None else encode_opaque(self.membership_tag)
        return self.content.encoded, self.auth.encode(), tag

    @property
    def authenticated(self) -> AuthenticatedContent:
        """What was signed, with the signature."""
        return AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, self.content, self.auth)


@dataclass(frozen=True, slots=True)
class PrivateMessage:
    """Signed and encrypted for the group.

    ::

        struct {
            opaque group_id<V>;
            uint64 epoch;
            ContentType content_type;
            opaque authenticated_data<V>;
            opaque encrypted_sender_data<V>;
            opaque ciphertext<V>;
        } PrivateMessage;
    """

    group_id: bytes
    epoch: int
    content_type: ContentType
    authenticated_data: bytes
    encrypted_sender_data: bytes
    ciphertext: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(
            reader.opaque(MAX_GROUP_ID),
            reader.uint64(),
            read_content_type(reader),
            reader.opaque(MAX_AUTHENTICATED_DATA),
            reader.opaque(MAX_AUTHENTICATED_DATA),
            reader.opaque(),
        )

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return (
            encode_opaque(self.group_id),
            self.epoch.to_bytes(8),
            self.content_type.to_bytes(1),
            encode_opaque(self.authenticated_data),
            encode_opaque(self.encrypted_sender_data),
            *opaque_parts(self.ciphertext),
        )


@dataclass(frozen=True, slots=True)
class GroupInfoMessage:
    """A GroupInfo in its envelope."""

    group_info: GroupInfo

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return (self.group_info.encoded,)


@dataclass(frozen=True, slots=True)
class KeyPackageMessage:
    """A KeyPackage in its envelope."""

    key_package: KeyPackage

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return (self.key_package.encoded,)


MessageBody: TypeAlias = (
    PublicMessage | PrivateMessage | Welcome | GroupInfoMessage | KeyPackageMessage
)
_FORMATS: Final[dict[type[MessageBody], WireFormat]] = {
    PublicMessage: WireFormat.PUBLIC_MESSAGE,
    PrivateMessage: WireFormat.PRIVATE_MESSAGE,
    Welcome: WireFormat.WELCOME,
    GroupInfoMessage: WireFormat.GROUP_INFO,
    KeyPackageMessage: WireFormat.KEY_PACKAGE,
}
_HEADS: Final = {
    kind: MLS10.to_bytes(2) + wire_format.to_bytes(2) for kind, wire_format in _FORMATS.items()
}


def read_message(reader: Reader) -> MessageBody:
    """Decode an `MLSMessage`."""
    if reader.uint16() != MLS10:
        raise DecodeError(Code.DECODE_VERSION, "MLSMessage.version")
    match reader.uint16():
        case WireFormat.PUBLIC_MESSAGE:
            return PublicMessage.read(reader)
        case WireFormat.PRIVATE_MESSAGE:
            return PrivateMessage.read(reader)
        case WireFormat.WELCOME:
            return Welcome.read(reader)
        case WireFormat.GROUP_INFO:
            return GroupInfoMessage(GroupInfo.read(reader))
        case WireFormat.KEY_PACKAGE:
            key_package = KeyPackage.read(reader)
            # V0615 §10: "If a client receives a KeyPackage carried within an MLSMessage object,
            # then it MUST verify that the `version` field of the KeyPackage has the same value as
            # the `version` field of the MLSMessage."
            require(key_package.version == MLS10, Rule.MESSAGE_VERSION)
            return KeyPackageMessage(key_package)
        case _:
            raise DecodeError(Code.DECODE_MALFORMED, "wire_format")


def decode_message(data: bytes) -> MessageBody:
    """Decode a whole `MLSMessage` of at most `MAX_MESSAGE` bytes: decoded, and not yet verified."""
    if len(data) > MAX_MESSAGE:
        raise DecodeError(Code.DECODE_OVERSIZED, f"{len(data)} bytes, at most {MAX_MESSAGE}")
    reader = Reader(data)
    message = read_message(reader)
    reader.finish()
    return message


def encode_message(message: MessageBody) -> bytes:
    """Encode an `MLSMessage`."""
    return b"".join((_HEADS[type(message)], *message.parts()))
