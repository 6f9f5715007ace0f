"""How far long work on a group is, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from parlour.cli.output import Output, console
from parlour.client.group_waiting import Progress, Step

_WORDS: Final = {
    "people": "Looking people up",
    "device lists": "Reading their device lists",
    "keys": "Fetching keys of their devices",
    "devices": "Devices in the group",
}


@contextlib.contextmanager
def progress(output: Output) -> Iterator[Progress | None]:
    """A bar for each kind of work while the block runs; nothing where nobody looks."""
    if output.json or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.what in tasks:
                bars.update(tasks[step.what], completed=step.done, total=step.total)
                return
            # It is shown at once, so it has its numbers from the beginning.
            words = _WORDS.get(step.what, step.what)
            tasks[step.what] = bars.add_task(words, completed=step.done, total=step.total)

        yield show
