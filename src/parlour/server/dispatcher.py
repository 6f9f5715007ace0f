"""The one door-keeper: every operation, from whichever door, is allowed or refused here.

Kind → door → token → rate → body → handler. Membership is checked where the data is, inside the
store's transaction, so that nothing can change between the check and the act.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Raw, Struct

from parlour.errors import AccessError, Code, DecodeError, InternalError
from parlour.server.caller import Caller
from parlour.server.limits import OPERATION_LIMITS, By, Limits
from parlour.server.sessions import SessionService
from parlour.wire.frames import decode_body
from parlour.wire.kinds import OPERATIONS, Door, Kind

Handler: TypeAlias = Callable[[Caller, Any], Awaitable[Struct]]
"""Takes a caller and the operation's request, and returns its response."""

_NEED_TOKEN: Final = frozenset({Door.TOKEN, Door.LIVE})
_ENDS_ITSELF: Final = frozenset({Kind.LOG_OUT, Kind.LOG_OUT_EVERYWHERE})


class Dispatcher:
    """Answers requests by a table of handlers, one for each operation."""

    def __init__(
        self, handlers: Mapping[Kind, Handler], sessions: SessionService, limits: Limits
    ) -> None:
        if handlers.keys() != OPERATIONS.keys() or OPERATION_LIMITS.keys() != OPERATIONS.keys():
            raise InternalError(Code.INTERNAL_BUG, "an operation has no handler or no limit")
        self._handlers = handlers
        self._sessions = sessions
        self._limits = limits

    async def answer(
        self, number: int, body: bytes | Raw, caller: Caller, doors: frozenset[Door]
    ) -> Struct:
        """Answer one request that came through a socket or path which serves `doors`.

        Raises `ParlourError`; the doors make an `ErrorBody` of it.
        """
        kind, operation = _find(number)
        if operation.door not in doors:
            raise AccessError(Code.STREAM_FORBIDDEN, "another door serves this")
        if operation.door in _NEED_TOKEN:
            await self._sessions.check(caller.known)
        self._count(kind, caller)
        request = decode_body(body, operation.request)
        response = await self._handlers[kind](caller, request)
        if caller.grant is not None and operation.door in _NEED_TOKEN:
            self._recheck(caller, kind)
        return response

    def _recheck(self, caller: Caller, kind: Kind) -> None:
        """A token that was revoked while its request was under way gets no answer any more."""
        refused = caller.known.refused
        if refused is not None and kind not in _ENDS_ITSELF:
            raise AccessError(refused)

    def _count(self, kind: Kind, caller: Caller) -> None:
        limit = OPERATION_LIMITS[kind]
        match limit.by:
            case By.ACCOUNT:
                key = caller.known.account_id.hex()
            case By.DEVICE:
                key = caller.known.device_id.hex()
            case By.ADDRESS | By.TARGET:
                key = caller.address
        self._limits.hit(kind.name, limit, key)


def _find(number: int) -> tuple[Kind, Any]:
    try:
        kind = Kind(number)
        return kind, OPERATIONS[kind]
    except (ValueError, KeyError):
        raise DecodeError(Code.DECODE_MALFORMED, f"kind {number}") from None
