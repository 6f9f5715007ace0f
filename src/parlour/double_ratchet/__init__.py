"""Pairwise end-to-end encryption: X3DH, PQXDH, the Double Ratchet, and sessions per device pair.

Values in, values out: no clock, no I/O. The caller passes `now` (seconds since the epoch) and
`random`, and stores the state before a message leaves.

Layout, from the bottom: `labels`, `limits`, `kdf`, `identity`; `merkle`, `prekeys` (public
prekeys and bundles); `headers`, `messages` (the wire); `own_prekeys`, `prekey_store`; `agreement`
(X3DH, PQXDH); `chains`, `ratchet`, `session`, `sessions`.

Hot paths: `kdf.step_chain`, `ratchet.Ratchet.encrypt`, `ratchet.Ratchet.open`.
"""

from parlour.double_ratchet.identity import DeviceIdentity, LocalDevice, device_id_of
from parlour.double_ratchet.messages import Suite
from parlour.double_ratchet.prekey_store import PrekeyStore, PrekeyUpload
from parlour.double_ratchet.prekeys import Prekey, PrekeyBundle, PrekeyKind
from parlour.double_ratchet.sessions import Decrypted, PeerSessions

__all__ = [
    "Decrypted",
    "DeviceIdentity",
    "LocalDevice",
    "PeerSessions",
    "Prekey",
    "PrekeyBundle",
    "PrekeyKind",
    "PrekeyStore",
    "PrekeyUpload",
    "Suite",
    "device_id_of",
]
