"""What this device keeps: an SQLCipher database that one thread uses.

Layout: `database` (open, transactions, errors), `schema` (tables and their migrations), `records`,
`messages` and `entry_hashes` (statements by table), `local` (`LocalStore`, which the rest uses).
"""

from parlour.client.store.local import LocalStore

__all__ = ["LocalStore"]
