"""``parlour demo``."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from parlour.cli.demo.processes import failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.story import Story
from parlour.cli.options import Options
from parlour.errors import ExitCode

_LONGEST: Final = 60.0


async def demo(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Watch a server and two people who talk: five processes on this machine, nothing kept.

    Shows what people read beside what the server stores. Ends with an error if anything is not as
    it says.
    """
    output = options.output()
    output.text("Parlour, end to end on this machine. Nothing here is simulated.")
    began = time.monotonic()
    stage = Stage(output)
    with tempfile.TemporaryDirectory(prefix="parlour-demo-") as folder:
        try:
            async with asyncio.timeout(_LONGEST), Story(Path(folder), stage) as story:
                await story.tell()
        except TimeoutError:
            raise failed("it took too long") from None
    stage.end(time.monotonic() - began)
    return int(ExitCode.FINE)
