"""Invites as text that somebody pasted."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.identity.invite import SCHEME, Invite, InviteSecret

SEEDS: Final = [
    Invite("chat.example", "192.0.2.1", 8443, bytes(32), InviteSecret(bytes(16)), bytes(32), 1)
    .to_text()
    .encode(),
    Invite("chat.example", "chat.example", 443, None, None).to_text().encode(),
    SCHEME.encode(),
]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for line in (text, SCHEME + text):
        try:
            invite = Invite.from_text(line)
        except ParlourError:
            continue
        assert Invite.from_text(invite.to_text()) == invite
