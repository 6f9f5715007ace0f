"""How a handshake is refused: one code for peers, and a sentence that names the rule for us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parlour.errors import (
    Code,
    DecodeError,
    ParlourError,
    PeerError,
    SecurityStop,
    UsageError,
    error,
)


def refusal(rule: str) -> ParlourError:
    """``group.invalid``, by the rule that was broken."""
    return error(Code.GROUP_INVALID, rule)


def require(fulfilled: bool, rule: str) -> None:
    """Refuse unless the rule is fulfilled."""
    if not fulfilled:
        raise refusal(rule)


@contextlib.contextmanager
def judged() -> Iterator[None]:
    """Make a refusal of what the protocols below say.

    Many of their codes warn a client of its server, and a server has nobody to be warned of. What
    the sender can mend keeps its name: bytes that do not parse, a right that it has not, a bound.
    """
    try:
        yield
    except DecodeError:
        raise
    except (PeerError, SecurityStop, UsageError) as stop:
        if stop.code is Code.GROUP_INVALID:
            raise
        raise refusal(stop.detail or stop.code.value) from stop
