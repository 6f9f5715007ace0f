"""Invites that an account makes. The client draws the secret and the server sees its hash."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import Milliseconds
from parlour.wire.limits import MAX_INVITE_USES, MAX_INVITES

InviteHash = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256 of an invite's secret."""
Uses = Annotated[int, Meta(ge=1, le=MAX_INVITE_USES)]
"""How many may still register."""


class CreateInvite(Body, array_like=True, frozen=True):
    """Let somebody register who has the secret, at most 30 days from now."""

    hash: InviteHash
    uses: Uses
    expires_at: Milliseconds


class InviteInfo(Body, array_like=True, frozen=True):
    """An invite that can still be used."""

    hash: InviteHash
    uses: Uses
    expires_at: Milliseconds


class InviteList(Body, array_like=True, frozen=True):
    """All that this account made and that can still be used."""

    invites: Annotated[list[InviteInfo], Meta(max_length=MAX_INVITES)]


class RevokeInvite(Body, array_like=True, frozen=True):
    """End an invite of this account."""

    hash: InviteHash
