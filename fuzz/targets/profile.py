"""Profiles as a server hands them out, and as a contact may have made them."""

from __future__ import annotations

from typing import Final

from parlour.codec import decode
from parlour.errors import ParlourError
from parlour.identity.profile import (
    Profile,
    ProfileKey,
    open_profile,
    profile_hash,
    seal_profile,
)

_KEY: Final = ProfileKey(bytes(32))
_PROFILE: Final = Profile(1, "Anna", "on holiday", b"\xff\xd8picture")
_SEALED: Final = seal_profile(_PROFILE, key=_KEY, account_id=bytes(16), random=bytes)

SEEDS: Final = [_SEALED, _PROFILE._encode()]


def target(data: bytes) -> None:
    try:
        open_profile(data, key=_KEY, account_id=bytes(16), version=1, digest=profile_hash(_SEALED))
    except ParlourError:
        pass
    else:
        assert data == _SEALED
    try:
        profile = decode(data, Profile._read)
    except ParlourError:
        return
    assert decode(profile._encode(), Profile._read) == profile
