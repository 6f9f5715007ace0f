"""Names of devices: ciphertext in the device list, for the account's own devices alone.

Everybody who talks with an account reads its device list. What people call their devices ("Anna's
work laptop") is nobody else's business, and neither is its length.
"""

from __future__ import annotations

from typing import Final

from parlour.codec import Writer
from parlour.errors import AuthenticationError, Code, DecodeError, LimitError
from parlour.identity import labels
from parlour.identity.device import ID_SIZE
from parlour.identity.sealed import Box
from parlour.identity.vault import AccountSecret
from parlour.primitives import aead
from parlour.primitives.random import Random, system_random

MAX_NAME: Final = 64
# Four bytes per character of UTF-8; every name is padded to all of them.
_PADDED: Final = 4 * MAX_NAME
_BOX: Final = Box(
    "device name", labels.DEVICE_NAME_KEY, labels.DEVICE_NAME_DATA, _PADDED + aead.TAG_SIZE
)


def seal_device_name(
    name: str,
    *,
    secret: AccountSecret,
    account_id: bytes,
    device_id: bytes,
    random: Random = system_random,
) -> bytes:
    """Seal a name of 1 to 64 characters, for `Device.sealed_name`. Raises `LimitError`.

    With a new account secret, every name is sealed again in the same device list entry.
    """
    if not 0 < len(name) <= MAX_NAME or "\x00" in name:
        raise LimitError(Code.LIMIT_SIZE, f"a device's name has 1 to {MAX_NAME} characters")
    padded = name.encode().ljust(_PADDED, b"\x00")
    return _BOX.seal(secret.reveal(), padded, bound_to=_bound(account_id, device_id), random=random)


def open_device_name(
    sealed: bytes, *, secret: AccountSecret, account_id: bytes, device_id: bytes
) -> str | None:
    """Open a name; None where there is none, or it was sealed under another account secret.

    A name is decoration: the device list it stands in has been verified, so nothing is stopped.
    """
    if not sealed:
        return None
    try:
        padded = _BOX.open(sealed, secret.reveal(), bound_to=_bound(account_id, device_id))
        return padded.rstrip(b"\x00").decode()
    except (AuthenticationError, DecodeError, UnicodeDecodeError):
        return None


def _bound(account_id: bytes, device_id: bytes) -> bytes:
    return Writer().fixed(account_id, ID_SIZE).fixed(device_id, ID_SIZE).data()
