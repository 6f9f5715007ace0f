"""All labels of this package; each stands for one use."""

from typing import Final

GENESIS: Final = b"parlour/1 roster genesis"
GENESIS_HASH: Final = b"parlour/1 roster genesis hash"
ENTRY: Final = b"parlour/1 roster entry"
ENTRY_HASH: Final = b"parlour/1 roster entry hash"
STATE_HASH: Final = b"parlour/1 roster state hash"
LEAVE: Final = b"parlour/1 roster leave"
READD: Final = b"parlour/1 roster readd"
LEAF_CERTIFICATE: Final = b"parlour/1 roster leaf certificate"
LINK_KEY: Final = b"parlour/1 roster link key"
LINK_JOIN: Final = b"parlour/1 roster link join"
LINK_PASS: Final = b"parlour/1 roster link pass"
NAME: Final = b"parlour/1 roster name"

RESTART: Final = b"parlour/1 roster restart"
"""The signature of a device under the beginning of another generation."""
