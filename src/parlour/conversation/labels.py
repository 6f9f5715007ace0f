"""All labels of this package; each stands for one use."""

from typing import Final

GENESIS_HASH: Final = b"parlour/1 conversation genesis hash"
ENTRY_CONTEXT: Final = b"parlour/1 conversation entry context"
ENTRY_HASH: Final = b"parlour/1 conversation entry hash"
CONTENT_KEY: Final = b"parlour/1 conversation content key"
CONTENT_COMMITMENT: Final = b"parlour/1 conversation content commitment"
INBOX: Final = b"parlour/1 conversation inbox"
