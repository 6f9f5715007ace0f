"""The labels of every derivation and signature of this package; no two uses share one."""

from __future__ import annotations

from typing import Final

# Prekeys
PREKEY_LEAF: Final = b"parlour/1 prekey leaf"
PREKEY_NODE: Final = b"parlour/1 prekey node"
PREKEY_SIGNATURE: Final = b"parlour/1 prekey signature"

# Agreement
X3DH_SECRET: Final = b"parlour/1 x3dh secret"
PQXDH_SECRET: Final = b"parlour/1 pqxdh secret"
SESSION_BINDING: Final = b"parlour/1 session binding"
SESSION_ID: Final = b"parlour/1 session id"
PAIR_ID: Final = b"parlour/1 session pair"

# Double Ratchet
ROOT_STEP: Final = b"parlour/1 double-ratchet root"
CHAIN_KEY: Final = b"parlour/1 double-ratchet chain key"
MESSAGE_KEY: Final = b"parlour/1 double-ratchet message key"
MESSAGE_SEAL: Final = b"parlour/1 double-ratchet message seal"
HEADER_SEAL: Final = b"parlour/1 double-ratchet header seal"
