"""Links to groups as text that somebody pasted."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.roster.links import SCHEME, JoinLink, LinkSecret

SEEDS: Final = [
    JoinLink("chat.example:8443", bytes(32), bytes(16), bytes(32), LinkSecret(bytes(16)))
    .to_text()
    .encode(),
    JoinLink("chat.example", None, bytes(16), bytes(32), LinkSecret(bytes(16))).to_text().encode(),
    SCHEME.encode(),
]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for line in (text, SCHEME + text):
        try:
            link = JoinLink.from_text(line)
        except ParlourError:
            continue
        assert JoinLink.from_text(link.to_text()) == link
        assert len(link.link_id) == 16
