"""What the peer hears of an error, at either door: its code, a sentence, a remedy. No detail."""

from __future__ import annotations

from typing import Final

from parlour.errors import (
    AccessError,
    Code,
    ConflictError,
    DecodeError,
    InternalError,
    LimitError,
    NotFoundError,
    ParlourError,
    StorageError,
    UsageError,
    error,
)
from parlour.server.limits import RateExceeded
from parlour.server.logs import Log
from parlour.wire.server import ErrorBody

_STATUS: Final[dict[Code, int]] = {
    Code.TOKEN_MISSING: 401,
    Code.TOKEN_INVALID: 401,
    Code.TOKEN_REVOKED: 401,
    Code.LIMIT_RATE: 429,
    Code.LIMIT_SIZE: 413,
    Code.DECODE_OVERSIZED: 413,
    Code.STORE_FULL: 507,
    Code.SERVER_DRAINING: 503,
    Code.NETWORK_TIMEOUT: 408,
}
_STATUS_BY_CLASS: Final[tuple[tuple[type[ParlourError], int], ...]] = (
    (AccessError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (LimitError, 409),
    (StorageError, 503),
    (InternalError, 500),
    (DecodeError, 400),
    (UsageError, 400),
)
_OTHERWISE: Final = 409


def as_ours(fault: Exception, log: Log, **fields: object) -> ParlourError:
    """Turn any exception into one of ours, logging what is our fault or the disk's."""
    if isinstance(fault, InternalError):
        log.bug("bug", fault, **fields)
        return fault
    if isinstance(fault, StorageError):
        log.warning("store_failed", code=fault.code.value, **fields)
        return fault
    if isinstance(fault, ParlourError):
        return fault
    log.bug("bug", fault, **fields)
    return error(Code.INTERNAL_BUG)


def error_body(fault: ParlourError) -> ErrorBody:
    """The body of an error."""
    retry_after = fault.retry_after if isinstance(fault, RateExceeded) else None
    return ErrorBody(fault.code.value, fault.sentence, fault.remedy, retry_after)


def http_status(fault: ParlourError) -> int:
    """The HTTP status that says most nearly the same."""
    exact = _STATUS.get(fault.code)
    if exact is not None:
        return exact
    return next(
        (status for kind, status in _STATUS_BY_CLASS if isinstance(fault, kind)), _OTHERWISE
    )
