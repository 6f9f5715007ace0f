"""What a person is told when the server is not there in time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parlour.cli.output import Output
from parlour.errors import TransportError


@contextlib.contextmanager
def patient(output: Output, *, kept: bool = True) -> Iterator[None]:
    """Say what becomes of a wish that did not come true while the block ran."""
    try:
        yield
    except TransportError:
        if kept:
            output.note("It waits on this device and is done the next time you use Parlour.")
        else:
            output.note("Nothing has happened. Try again when the server is there.")
        raise
