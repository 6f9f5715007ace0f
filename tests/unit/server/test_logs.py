"""Logs: what is not in the allow-list does not get in."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from parlour.errors import Code, InternalError
from parlour.server.logs import FIELDS, REDACTED, LibraryHandler, Log


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def make_log() -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    return Log(stream, clock=lambda: 5), stream


def fail(error: Exception) -> None:
    raise error


def test_listed_fields_are_written_and_others_dropped() -> None:
    log, stream = make_log()
    log.info("started", port=8443, name="alice", address="192.0.2.1", password="x")
    assert written(stream) == [{"time": 5, "level": "info", "event": "started", "port": 8443}]


def test_a_value_that_has_not_its_form_is_redacted() -> None:
    log, stream = make_log()
    log.warning(
        "refused",
        account="alice",
        device=b"\x01",
        code="plt_AAAA secret",
        count="5",
        where="/home/alice/x.py:3",
    )
    (line,) = written(stream)
    assert {name for name, value in line.items() if value == REDACTED} == {
        "account",
        "device",
        "code",
        "count",
        "where",
    }


def test_an_exception_leaves_its_type_and_place_only() -> None:
    log, stream = make_log()
    bug = InternalError(Code.INTERNAL_BUG)
    try:
        fail(ValueError("the password is hunter2"))
    except ValueError as error:
        bug.__cause__ = error
    log.bug("bug", bug, kind="APPEND")
    (line,) = written(stream)
    assert line["exception"] == "ValueError"
    assert line["where"].startswith("test_logs.py:")
    assert "hunter2" not in stream.getvalue()


def test_what_libraries_say_is_reduced_to_who_spoke() -> None:
    log, stream = make_log()
    logger = logging.Logger("some.library")
    logger.addHandler(LibraryHandler(log))
    logger.info("192.0.2.1 connected")
    logger.warning("192.0.2.1 misbehaved")
    try:
        fail(OSError("192.0.2.1"))
    except OSError:
        logger.exception("192.0.2.1 failed")
    assert [line["event"] for line in written(stream)] == ["library_warned", "library_failed"]
    assert "192.0.2.1" not in stream.getvalue()
    assert written(stream)[1]["library"] == "some.library"


def test_every_line_holds_listed_fields_only() -> None:
    log, stream = make_log()
    log.info("x", **{name: "anything" for name in FIELDS if name not in ("level", "event")})
    log.info("y", unlisted=1)
    assert all(line.keys() <= FIELDS.keys() for line in written(stream))
