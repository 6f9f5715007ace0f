"""What people say: content that decodes is encoded to what means the same."""

from __future__ import annotations

from typing import Final

from parlour.conversation.content import ResendRequest, Resent, Text, decode, encode

SEEDS: Final = [
    encode(Text("words 🙂")),
    encode(ResendRequest(bytes(16), b"m" * 16, "unreadable.no_part")),
    encode(Resent(b"m" * 16, 1_800_000_000_000, encode(Text("again")))),
    b"\x93\x02\x07\x91\x01",
]


def target(data: bytes) -> None:
    content = decode(data)
    assert decode(encode(content)) == content
    repr(content)
