"""Logs: JSON lines whose fields stand in an allow-list. Whatever is not listed is dropped.

No names, addresses, tokens or contents, at any level. People and devices are pseudonyms of the
day. Of an exception that we did not foresee there is its type and where it was raised; its text
may hold anything and is never written.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from parlour.server.clock import Clock, system_clock

REDACTED: Final = "[redacted]"

_WORD: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_KIND: Final = re.compile(r"[A-Z][A-Z_]{0,63}")
_TYPE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_WHERE: Final = re.compile(r"[A-Za-z0-9_.<>-]{1,80}:\d{1,6}")
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{12}")
_PIN: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[0-9A-Za-z.+-]{1,32}")

# Field → the form that its text must have; None for whole numbers.
FIELDS: Final[Mapping[str, re.Pattern[str] | None]] = {
    "time": None,
    "level": _WORD,
    "event": _WORD,
    "door": _WORD,
    "kind": _KIND,
    "code": _WORD,
    "count": None,
    "account": _PSEUDONYM,
    "device": _PSEUDONYM,
    "exception": _TYPE,
    "where": _WHERE,
    "library": _TYPE,
    "port": None,
    "pin": _PIN,
    "version": _VERSION,
}


class Log:
    """One server's log, to stderr or a file."""

    def __init__(self, stream: TextIO | None = None, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(stream or sys.stderr),
            processors=[self._stamp, _allow, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def info(self, event: str, **fields: object) -> None:
        """What an operator may want to see once."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What an operator should see to."""
        self._write("warning", event, fields)

    def bug(self, event: str, error: BaseException, **fields: object) -> None:
        """Our own fault: type and place, never the text."""
        cause = error.__cause__ or error
        self._write(
            "error",
            event,
            {**fields, "exception": type(cause).__name__, "where": _place(cause)},
        )

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self._logger.msg(event, level=level, **fields)

    def _stamp(
        self, logger: object, method: str, record: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        record["time"] = self._clock()
        return record


def _allow(
    logger: object, method: str, record: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Keep what is listed and has its form; name what has not; drop the rest."""
    return {
        name: value if _fits(value, form) else REDACTED
        for name, form in FIELDS.items()
        if (value := record.get(name)) is not None
    }


def _fits(value: object, form: re.Pattern[str] | None) -> bool:
    if form is None:
        return isinstance(value, int)
    return isinstance(value, str) and form.fullmatch(value) is not None


def _place(error: BaseException) -> str:
    """File and line where it was raised, without the folders."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown:0"


class LibraryHandler(logging.Handler):
    """Brings what libraries log into ours: which one and what exception, not its words."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.bug("library_failed", error, library=record.name)
        else:
            self._log.warning("library_warned", library=record.name)
