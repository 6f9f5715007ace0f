"""What goes through a conversation: a versioned, tagged union.

What people say is shown. A `Control` goes from device to device through an inbox, a `Notice` to
everybody's devices in a conversation of two, a `GroupNotice` to those in a group, a `Sync` to one's
own; these are for programs.

`[version, tag, body]` in MessagePack. What a newer program said and this one does not know is
`Unknown`: kept as it came, shown as such, and readable after an update.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from parlour.conversation.sync import (
    MAX_GROUP_NAME,
    ContactSync,
    DeviceListGiven,
    Forgotten,
    GroupSync,
    OwnListSync,
    OwnProfileSync,
    ProfileKeyGiven,
    ReadUpTo,
    SettingSync,
    Sync,
    SyncRequest,
)
from parlour.errors import Code, DecodeError, LimitError
from parlour.wire.limits import MAX_KEY_PACKAGE, MAX_WISH

CONTENT_VERSION: Final = 1
MAX_TEXT: Final = 10_000
# Text of the longest kind in the most expensive script, with room for structure.
MAX_ENCODED: Final = 64 << 10

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Wish = Annotated[bytes, Meta(min_length=1, max_length=MAX_WISH)]
_KeyPackage = Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_PACKAGE)]


class Text(Struct, array_like=True, frozen=True, tag=False):
    """Plain text of at most 10,000 characters."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)]

    def __repr__(self) -> str:
        return f"Text([{len(self.text)} characters])"


class ResendRequest(Struct, array_like=True, frozen=True):
    """Control: the sender of this could not read that message and asks for it again."""

    conversation: _Id
    message_id: _Id
    reason: Annotated[str, Meta(max_length=64)]


class Resent(Struct, array_like=True, frozen=True):
    """Control: a message once more, for a device that could not read it."""

    message_id: _Id
    sent_at: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    content: Annotated[bytes, Meta(max_length=MAX_ENCODED)]

    def __repr__(self) -> str:
        return f"Resent({self.message_id.hex()})"


class GroupDetails(Struct, array_like=True, frozen=True):
    """Notice in a group: its name, for the commitment to it that stands in the roster."""

    name: Annotated[str, Meta(max_length=MAX_GROUP_NAME)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]

    def __repr__(self) -> str:
        return f"GroupDetails([{len(self.name)} characters])"


class DetailsWanted(Struct, array_like=True, frozen=True):
    """Notice in a group: the sender of this does not know its name."""


class CommitBroken(Struct, array_like=True, frozen=True):
    """Notice in a group, in the epoch before: the sender can't follow the commit that won.

    `wish` is its wish to be added again (`roster.readding`), `package` the key package for that.
    """

    generation: _Number
    epoch: _Number
    seq: _Number
    reason: Annotated[str, Meta(max_length=64)]
    wish: _Wish
    package: _KeyPackage


class ReaddWanted(Struct, array_like=True, frozen=True):
    """Control: a device of a member lost its way in a group, and asks to be added again.

    `wish` is signed (`roster.readding`), because who fulfils it has to show that it was asked; it
    names the key package that is in `package`, an MLSMessage.
    """

    wish: _Wish
    package: _KeyPackage


class EpochSeen(Struct, array_like=True, frozen=True):
    """Control and sync: which epoch of that number the sender is in; `answer` wants one back."""

    group: _Id
    generation: _Number
    epoch: _Number
    tag: Annotated[bytes, Meta(min_length=16, max_length=16)]
    answer: bool = False


class Unknown(Struct, array_like=True, frozen=True):
    """Content of a kind or version that is not known here. `raw` is all of it, encoded."""

    version: int
    tag: int
    raw: bytes

    def __repr__(self) -> str:
        return f"Unknown(version={self.version}, tag={self.tag})"


Control: TypeAlias = ResendRequest | Resent | ReaddWanted | EpochSeen
Notice: TypeAlias = ProfileKeyGiven | DeviceListGiven
GroupNotice: TypeAlias = GroupDetails | DetailsWanted | CommitBroken
Shown: TypeAlias = Text | Unknown
Content: TypeAlias = Shown | Control | Notice | GroupNotice | Sync

# Numbers are never used again for something else.
_TAGS: Final[dict[int, type[Text | Control | Notice | GroupNotice | Sync]]] = {
    1: Text,
    0x40: ResendRequest,
    0x41: Resent,
    0x42: ReaddWanted,
    0x43: EpochSeen,
    0x50: ProfileKeyGiven,
    0x51: DeviceListGiven,
    0x58: GroupDetails,
    0x59: DetailsWanted,
    0x5A: CommitBroken,
    0x60: ContactSync,
    0x61: Forgotten,
    0x62: ReadUpTo,
    0x63: SettingSync,
    0x64: OwnProfileSync,
    0x65: SyncRequest,
    0x66: OwnListSync,
    0x67: GroupSync,
}
_TAG_OF: Final = {kind: tag for tag, kind in _TAGS.items()}


class _Head(Struct, array_like=True, frozen=True):
    version: Annotated[int, Meta(ge=0, le=0xFFFF)]
    tag: Annotated[int, Meta(ge=0, le=0xFFFF)]
    body: Raw


_encoder: Final = msgspec.msgpack.Encoder()
_head_decoder: Final = msgspec.msgpack.Decoder(_Head)
_decoders: Final = {tag: msgspec.msgpack.Decoder(kind) for tag, kind in _TAGS.items()}


def encode(content: Content) -> bytes:
    """Encode content; text that is too long raises `LIMIT_SIZE`."""
    if isinstance(content, Unknown):
        return content.raw
    if isinstance(content, Text) and len(content.text) > MAX_TEXT:
        raise LimitError(Code.LIMIT_SIZE, f"a text has at most {MAX_TEXT} characters")
    return _encoder.encode((CONTENT_VERSION, _TAG_OF[type(content)], content))


def decode(data: bytes) -> Content:
    """Decode content. An unknown version or tag is `Unknown`, anything malformed an error."""
    if len(data) > MAX_ENCODED:
        raise DecodeError(Code.DECODE_OVERSIZED, "content")
    try:
        head = _head_decoder.decode(data)
        decoder = _decoders.get(head.tag)
        if head.version != CONTENT_VERSION or decoder is None:
            return Unknown(head.version, head.tag, data)
        return decoder.decode(head.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(Code.DECODE_MALFORMED, "content") from error
