"""One server, one user, and the steps between them, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from parlour.login import (
    Accepted,
    ClientLogin,
    ClientRegistration,
    LoginContext,
    LoginProof,
    OpaqueServer,
    Registration,
    Stretched,
    generate_setup,
)
from parlour.login.server import LoginAttempt
from parlour.primitives.random import system_random

NOW = 1_800_000_000
CONTEXT = LoginContext("example.org", "anna", b"d" * 16, b"p" * 32)
PASSWORD = Stretched(b"right password, 32 bytes of it..")
WRONG = Stretched(b"wrong password, 32 bytes of it..")
DECOY_KEY = b"k" * 32


def register(
    server: OpaqueServer, password: Stretched = PASSWORD, user: str = "anna"
) -> tuple[Registration, bytes]:
    state, request = ClientRegistration.start(password)
    registration = state.finish(server.register(request, user))
    return registration, server.finish_registration(registration.upload)


@dataclass
class Login:
    """A login whose KE2 has arrived at the client and was found good."""

    server: OpaqueServer
    attempt: LoginAttempt
    proof: LoginProof

    def finish(self, **changes: Any) -> Accepted:
        arguments: dict[str, Any] = {
            "ke3": self.proof.ke3,
            "binding": self.proof.binding,
            "context": CONTEXT,
        }
        return self.server.finish(self.attempt, **{"now": NOW, **arguments, **changes})


def log_in(
    server: OpaqueServer,
    record: bytes | None,
    password: Stretched = PASSWORD,
    **context: Any,
) -> Login:
    state, ke1 = ClientLogin.start(password)
    ke2, attempt = server.begin(ke1, "anna", record, now=NOW)
    return Login(server, attempt, state.finish(ke2, context=replace(CONTEXT, **context)))


def new_server() -> OpaqueServer:
    return OpaqueServer(generate_setup(system_random), DECOY_KEY)
