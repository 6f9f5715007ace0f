"""The server: it sequences, stores and forwards ciphertext, and knows nothing that it need not.

Layout: `store/` (what is kept), the services `accounts`, `logins`, `sessions`, `directory`,
`prekeys`, `streams`, `live` with `hub` (who is connected), `limits`, `pseudonyms`, `sweeper`;
`dispatcher` (every operation, one door-keeper), `core` (puts them together); the doors `http/` and
`socket/`; `process` (a running server), `config`, `secrets`, `certificates`, `logs`, `admin`.
"""

from parlour.server.admin import create_invite
from parlour.server.config import Config, load_config
from parlour.server.process import Server, serve

__all__ = ["Config", "Server", "create_invite", "load_config", "serve"]
