"""Who calls: what the dispatcher knows of one request, whichever door it came through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from parlour.errors import AccessError, Code, UsageError
from parlour.server.sessions import Grant
from parlour.server.talk import LoginTalk


class Subscriber(Protocol):
    """A live connection, as the services see it. None of these ever waits."""

    grant: Grant

    @property
    def ended(self) -> bool:
        """Whether it is closed, or about to be."""

    def push(self, frame: bytes) -> None:
        """Send a push, or drop it and have the device catch up if it takes in too little."""

    def hold(self) -> None:
        """Keep pushes back until the answer to the request under way has been sent."""

    def end(self, status: int, code: Code | None = None) -> None:
        """Send what waits, an error if one is given, and close."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller. `address` is the day's name of its address.

    `talk` is there on the login socket, `grant` once a token was accepted, `subscriber` on the
    live socket.
    """

    address: str
    talk: LoginTalk | None = None
    grant: Grant | None = None
    subscriber: Subscriber | None = None

    @property
    def known(self) -> Grant:
        """The grant; raises ``token.missing``."""
        if self.grant is None:
            raise AccessError(Code.TOKEN_MISSING)
        return self.grant

    @property
    def logging_in(self) -> LoginTalk:
        """The login under way; raises ``usage.state``."""
        if self.talk is None:
            raise UsageError(Code.USAGE_STATE, "use the login socket")
        return self.talk
