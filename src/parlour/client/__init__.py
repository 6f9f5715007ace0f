"""The SDK: the asyncio shell around the conversation machine.

Layout: `client` (the calls), `engine` (machine, store and connection together), `link` (connect
and connect again), `registration`, `account`; below them `home` with `store/`, `vault_file`,
`keychain` and `lock`, `connection` with `tls`, `pushes` and `failures`, `login`, `backoff`,
`config`, `workers`.
"""

from parlour.client.client import Client, Said

__all__ = ["Client", "Said"]
