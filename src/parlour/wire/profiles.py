"""Profiles: ciphertext for those who were given the key."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import AccountId
from parlour.wire.limits import MAX_PROFILE

ProfileBytes = Annotated[bytes, Meta(max_length=MAX_PROFILE)]
"""A sealed profile (`parlour.identity.profile`)."""


class SetProfile(Body, array_like=True, frozen=True):
    """Replace the account's profile; empty to have none."""

    profile: ProfileBytes


class ReadProfile(Body, array_like=True, frozen=True):
    """Read the profile of this account or of one that shares a stream with it.

    ``profile.unknown`` for all others, whether they have one or not.
    """

    account_id: AccountId


class SealedProfile(Body, array_like=True, frozen=True):
    """A profile."""

    profile: ProfileBytes
