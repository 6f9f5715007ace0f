"""A group's name, as its roster knows it: a commitment, which tells the server nothing."""

from __future__ import annotations

from typing import Final

from parlour.codec import Writer
from parlour.errors import Code, UsageError
from parlour.primitives.hashes import sha256
from parlour.roster import labels

# Names are short and guessable: without a salt the server would try them.
NAME_SALT_SIZE: Final = 16
# What fits on a line; in bytes of UTF-8.
MAX_NAME_SIZE: Final = 256


def name_commitment(salt: bytes, name: str) -> bytes:
    """What `changes.Named` says of a name, 32 bytes.

    Name and salt (16 random bytes) travel as a message of the group; who reads it compares.
    """
    if len(salt) != NAME_SALT_SIZE:
        raise UsageError(Code.USAGE_INVALID, f"a name's salt has {NAME_SALT_SIZE} bytes")
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_NAME_SIZE:
        raise UsageError(Code.USAGE_INVALID, f"a name has 1 to {MAX_NAME_SIZE} bytes")
    return sha256(Writer().opaque(labels.NAME).fixed(salt, NAME_SALT_SIZE).opaque(encoded).data())
