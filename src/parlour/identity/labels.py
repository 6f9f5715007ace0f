"""All labels of this package; each stands for one use."""

from typing import Final

DEVICE_LIST_ENTRY: Final = b"parlour/1 identity device list entry"
DEVICE_LIST_HASH: Final = b"parlour/1 identity device list hash"
LOGIN_RECORD: Final = b"parlour/1 identity login record"
REGISTRATION_PROOF: Final = b"parlour/1 identity registration proof"
LOGIN_PROOF: Final = b"parlour/1 identity login proof"
VAULT_KEY: Final = b"parlour/1 identity vault key"
VAULT_DATA: Final = b"parlour/1 identity vault data"
