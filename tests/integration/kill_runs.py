"""Programs that kill themselves (`killing`), and what they tell of each step."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.town import Town

CHECKOUT = Path(__file__).resolve().parents[2]
# All steps, when somebody has the time; else every third one.
STRIDE = int(os.environ.get("PARLOUR_KILL_STRIDE", "3"))
posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")


async def run_steps(
    script: Path, story: str, town: Town, folder: Path, first: int = 1, stride: int = STRIDE
) -> list[dict[str, Any]]:
    """Let a script kill itself at each step of a story, from `first` on; what it tells of each."""
    shutil.copytree(town.folder, folder / "town")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(script),
        story,
        str(folder),
        str(town.port),
        str(first),
        str(stride),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, output.decode()[-2000:] + errors.decode()[-6000:]
    return [json.loads(line) for line in output.decode().splitlines()]
