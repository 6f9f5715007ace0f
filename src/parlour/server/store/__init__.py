"""Where the server keeps things: one interface, and what implements it.

Layout: `records` (what goes in and comes out), `interface` (the protocols, one per topic);
`sqlite` implements them embedded. The same tests run against each implementation.
"""

from parlour.server.store.interface import Store
from parlour.server.store.records import (
    AccountRecord,
    AppendedEntry,
    DeviceRecord,
    ListChange,
    NewAccount,
    NewToken,
    Retention,
    TokenRecord,
)

__all__ = [
    "AccountRecord",
    "AppendedEntry",
    "DeviceRecord",
    "ListChange",
    "NewAccount",
    "NewToken",
    "Retention",
    "Store",
    "TokenRecord",
]
