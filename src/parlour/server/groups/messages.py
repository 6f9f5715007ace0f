"""What a message says of itself in clear: the group, the epoch, and that it is a message."""

from __future__ import annotations

from typing import Final

from parlour.codec import Reader
from parlour.errors import DecodeError
from parlour.mls.public.types import MLS10, ContentType, WireFormat
from parlour.server.groups.tracked import GENERATION_SIZE
from parlour.wire.ids import ID_SIZE

_GROUP_ID_SIZE: Final = ID_SIZE + GENERATION_SIZE


def epoch_of(stream: bytes, body: bytes) -> tuple[int, int] | None:
    """Generation and epoch of a PrivateMessage to this stream's group (RFC 9420 §6.3).

    None for anything else. Hot: the head is read and the ciphertext is not touched.
    """
    reader = Reader(body)
    try:
        if reader.uint16() != MLS10 or reader.uint16() != WireFormat.PRIVATE_MESSAGE:
            return None
        group_id = reader.opaque(_GROUP_ID_SIZE)
        epoch, kind = reader.uint64(), reader.uint8()
    except DecodeError:
        return None
    own = len(group_id) == _GROUP_ID_SIZE and group_id[:ID_SIZE] == stream
    if not own or kind != ContentType.APPLICATION:
        return None
    return int.from_bytes(group_id[ID_SIZE:]), epoch
