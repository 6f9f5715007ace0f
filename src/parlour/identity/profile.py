"""Profiles: the name, picture and status that people show to those they know.

A profile is ciphertext to the server. Its key goes to contacts through the conversations with them,
and a new one after somebody was blocked or forgotten. The size is padded to a few classes, so that
it tells whether there is a picture and little else.

The key makes nobody the author: every contact has it, and could seal another profile for a server
that helps. So whoever announces a profile says its version and the hash of all that is sealed, in a
message that only they can have sent, and readers take that one alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, LimitError, SecurityStop
from parlour.identity import labels
from parlour.identity.sealed import SALT_SIZE, Box
from parlour.primitives import aead
from parlour.primitives.hashes import equal, sha256
from parlour.primitives.random import Random, system_random
from parlour.primitives.secret import Secret

# Room for any name of a person, and for a line about how they are.
MAX_NAME: Final = 64
MAX_STATUS: Final = 140
# A picture of 256 by 256 pixels takes 10 to 30 KiB.
MAX_PICTURE: Final = 64 << 10
# Versions count changes, so this is more than there are, and every program has numbers so large.
MAX_VERSION: Final = (1 << 53) - 1
# What announces a profile may come late, when as many others were announced since; nobody changes
# theirs more often while one message is repaired.
LATE: Final = 16
# Four bytes per character of UTF-8.
_MAX_BYTES: Final = 4
# Padded plaintexts have one of these sizes; the last one holds the largest profile.
_CLASSES: Final = (1 << 10, 8 << 10, 16 << 10, 32 << 10, 66 << 10)
_BOX: Final = Box("profile", labels.PROFILE_KEY, labels.PROFILE_DATA, _CLASSES[-1] + aead.TAG_SIZE)
# Format, salt and the four bytes of a length.
MAX_SEALED: Final = 1 + SALT_SIZE + 4 + _CLASSES[-1] + aead.TAG_SIZE


class ProfileKey(Secret):
    """What a profile is sealed under, known to contacts."""

    __slots__ = ()
    SIZE = 32


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile. `picture` is a JPEG or PNG file as it is, or empty; readers decode it apart.

    `version` grows with each change, from 1 to `MAX_VERSION`.
    """

    version: int
    name: str = field(repr=False)
    status: str = field(default="", repr=False)
    picture: bytes = field(default=b"", repr=False)

    def _encode(self) -> bytes:
        """The padded structure.

        ::

            struct {
                uint64 version;
                opaque name<V>;
                opaque status<V>;
                opaque picture<V>;
                opaque padding[...];        /* zeros up to the end of the class */
            } Profile;
        """
        if len(self.name) > MAX_NAME or len(self.status) > MAX_STATUS:
            raise LimitError(Code.LIMIT_SIZE, f"{MAX_NAME} and {MAX_STATUS} characters")
        if len(self.picture) > MAX_PICTURE:
            raise LimitError(Code.LIMIT_SIZE, f"a picture of {MAX_PICTURE >> 10} KiB")
        if self.version > MAX_VERSION:
            raise LimitError(Code.LIMIT_COUNT, f"{MAX_VERSION} versions of a profile")
        writer = Writer().uint64(self.version).opaque(self.name.encode())
        data = writer.opaque(self.status.encode()).opaque(self.picture).data()
        size = next(each for each in _CLASSES if each >= len(data))
        return data.ljust(size, b"\x00")

    @classmethod
    def _read(cls, reader: Reader) -> Profile:
        version = reader.uint64()
        name = _text(reader, MAX_NAME)
        status = _text(reader, MAX_STATUS)
        picture = reader.opaque(MAX_PICTURE)
        if version > MAX_VERSION:
            raise DecodeError(Code.DECODE_OVERSIZED, "version of a profile")
        if any(reader.rest()):
            raise DecodeError(Code.DECODE_TRAILING, "profile")
        return cls(version, name, status, picture)


def seal_profile(
    profile: Profile, *, key: ProfileKey, account_id: bytes, random: Random = system_random
) -> bytes:
    """Seal a profile of an account; raises `LimitError` for one that is too large."""
    return _BOX.seal(key.reveal(), profile._encode(), bound_to=account_id, random=random)


def next_version(version: int) -> int:
    """The version after `version`, the first one after 0.

    After the last one, which only a lie can reach, it goes on in the middle: for those who heard
    the lie that is far back, for all others far ahead, and both follow (`is_newer`).
    """
    return version + 1 if version < MAX_VERSION else MAX_VERSION // 2


def is_newer(version: int, known: int) -> bool:
    """Whether a version that was announced counts after `known`.

    One that is a little lower came late. One that is far lower says that `known` never was: else a
    stolen device could fix a profile for good by announcing a high number once.
    """
    return version > known or version <= known - LATE


def profile_hash(sealed: bytes) -> bytes:
    """What is announced of a sealed profile: its SHA-256, 32 bytes."""
    return sha256(sealed)


def open_profile(
    sealed: bytes, *, key: ProfileKey, account_id: bytes, version: int, digest: bytes
) -> Profile:
    """Open the profile that was announced with that version and `profile_hash`.

    Raises `AuthenticationError` for another key or account, `DecodeError`, and `SecurityStop` for
    any other profile: ``profile.rollback`` for an older one, ``profile.unannounced`` otherwise.
    """
    profile = decode(_BOX.open(sealed, key.reveal(), bound_to=account_id), Profile._read)
    if profile.version < version:
        raise SecurityStop(Code.PROFILE_ROLLBACK, f"version {profile.version}")
    if profile.version != version or not equal(profile_hash(sealed), digest):
        raise SecurityStop(Code.PROFILE_UNANNOUNCED, f"version {profile.version}")
    return profile


def _text(reader: Reader, limit: int) -> str:
    try:
        text = reader.opaque(limit * _MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise DecodeError(Code.DECODE_MALFORMED, "text of a profile") from error
    if len(text) > limit:
        raise DecodeError(Code.DECODE_OVERSIZED, "text of a profile")
    return text
