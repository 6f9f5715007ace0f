"""The embedded store: SQLite, one writer thread with group commit, two readers.

Layout: `store` (opens it all), `database`, `lock`, `writer`, `readers`, `migrations`; `rows`; by
topic `accounts`, `devices`, `tokens`, `invites`, `prekeys`,
`key_packages`, `streams` with `entries`, `pages` and
`retention`, `groups` with `handshakes`.
"""

from parlour.server.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
