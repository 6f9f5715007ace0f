"""Login by password without the server ever learning it: OPAQUE behind our own interface.

Layout: `names` (canonical spelling), `stretch` (Argon2id before OPAQUE), `client`, `server`,
`setup` (the server's lasting secrets), `binding` (to server, account, device and TLS channel),
`keys`, `sizes`, `labels`. Only `client`, `server` and `setup` touch the OPAQUE library.

::

    client                                             server
    stretched = stretch(password, …)
    state, ke1 = ClientLogin.start(stretched)   →      ke2, attempt = server.begin(ke1, user, …)
    proof = state.finish(ke2, context=…)        ←
    proof.ke3, proof.binding                    →      accepted = server.finish(attempt, …)
    proof.confirm(accepted.confirmation)        ←

Spec: RFC 9807 (OPAQUE-3DH, ristretto255, SHA-512), record version 1; decision 0002.
"""

from parlour.login.binding import LoginContext, registration_transcript
from parlour.login.client import ClientLogin, ClientRegistration, LoginProof, Registration
from parlour.login.keys import ExportKey, SessionKey
from parlour.login.names import account_name, new_account_name, server_name
from parlour.login.server import Accepted, LoginAttempt, OpaqueServer
from parlour.login.setup import generate_setup
from parlour.login.sizes import RECORD_VERSION
from parlour.login.stretch import STRETCH_COST, Stretched, stretch

__all__ = [
    "RECORD_VERSION",
    "STRETCH_COST",
    "Accepted",
    "ClientLogin",
    "ClientRegistration",
    "ExportKey",
    "LoginAttempt",
    "LoginContext",
    "LoginProof",
    "OpaqueServer",
    "Registration",
    "SessionKey",
    "Stretched",
    "account_name",
    "generate_setup",
    "new_account_name",
    "registration_transcript",
    "server_name",
    "stretch",
]
