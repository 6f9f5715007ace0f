"""``parlour demo``, and ``parlour demo groups``."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cyclopts import App

from parlour.cli.demo.cast import Cast
from parlour.cli.demo.group_story import GroupStory
from parlour.cli.demo.processes import failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.story import Story
from parlour.cli.options import Options
from parlour.errors import ExitCode

_LONGEST: Final = 60.0
_LONGEST_OF_GROUPS: Final = 180.0

demo = App(name="demo", help="Watch a server and people who talk.")


@demo.default
async def two(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Watch a server and two people who talk: five processes on this machine, nothing kept.

    Shows what people read beside what the server stores. Ends with an error if anything is not as
    it says. With "groups", five people and seven devices do.
    """
    return await _play(options, Story, _LONGEST)


@demo.command
async def groups(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Watch a group of five people with seven devices: who comes, who goes, who was away.

    Ends with an error if anything is not as it says.
    """
    return await _play(options, GroupStory, _LONGEST_OF_GROUPS)


async def _play(
    options: Options, write: Callable[[Cast, Stage], Story | GroupStory], longest: float
) -> int:
    output = options.output()
    output.text("Parlour, end to end on this machine. Nothing here is simulated.")
    began = time.monotonic()
    stage = Stage(output)
    with tempfile.TemporaryDirectory(prefix="parlour-demo-") as folder:
        try:
            async with asyncio.timeout(longest), Cast(Path(folder), stage) as cast:
                await write(cast, stage).tell()
        except TimeoutError:
            raise failed("it took too long") from None
    stage.end(time.monotonic() - began)
    return int(ExitCode.FINE)
