import asyncio
import os
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash_steps.py")
posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")


@posix
@pytest.mark.parametrize(("story", "least"), [("store", 10), ("vault", 8)])
async def test_a_killed_write_is_there_wholly_or_not_at_all(
    tmp_path: Path, story: str, least: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        story,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, (output, errors)
    lines = [line.split() for line in output.decode().splitlines()]
    assert len(lines) >= least
    seen = [found for _, _, found in lines]
    # Old until some step, new from there on, never a mixture; a finished write is there.
    assert set(seen) == {"o", "n"}
    assert seen == sorted(seen, reverse=True)
    assert lines[-1][1:] == ["1", "n"]
