"""Bodies and parts of entries, and the genesis of a conversation: nothing forged is taken."""

from __future__ import annotations

from typing import Final

from parlour.conversation.genesis import Genesis, between, check_between
from parlour.conversation.sealed import Context, open_entry, seal
from parlour.testing.randomness import seeded
from parlour.wire.envelope import SuiteId

_CONTEXT: Final = Context(
    bytes(32), b"s" * 16, b"a" * 16, b"d" * 16, b"m" * 16, SuiteId.DOUBLE_RATCHET_PQXDH
)
_ONE, _OTHER = b"1" * 16, b"2" * 16
_GENESIS: Final = between(_ONE, _OTHER)
_SEALED: Final = seal(b"hello", _CONTEXT, seeded(1))
_BODY: Final = _SEALED.envelope.body
_SINCE: Final = 8  # bytes
_PART: Final = _SEALED.part_plaintext(7)

SEEDS: Final = [b"b" + _BODY, b"p" + _PART, b"g" + _GENESIS.encode()]


def target(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind == b"g":
        assert Genesis.decode(rest).encode() == rest
        assert check_between(rest, _ONE, _OTHER) == _GENESIS
        return
    body, part = (_BODY, rest) if kind == b"p" else (rest, _PART)
    # A part's `since` is authenticated by the session that the part goes through, not in here.
    assert open_entry(body, part, _CONTEXT) == (b"hello", int.from_bytes(part[-_SINCE:]))
    assert (body, part[:-_SINCE]) == (_BODY, _PART[:-_SINCE])
