"""What is inside an encrypted entry: one encoding, and numbers that a database takes."""

from __future__ import annotations

from typing import Final

from parlour.conversation.inner import MAX_NUMBER, Inner

SEEDS: Final = [
    Inner(1, 1_800_000_000_000, 0, b"", b"content").encode(),
    Inner(MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, b"h" * 32, bytes(300)).encode(),
]


def target(data: bytes) -> None:
    inner = Inner.decode(data)
    assert max(inner.counter, inner.sent_at, inner.last_seq) <= MAX_NUMBER
    assert Inner.decode(inner.encode()) == inner
