"""What the product uses in a run that is not its own, and what of it no run enters."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest

import parlour
from parlour.testing.simulation.run import run
from parlour.testing.simulation.substitutes import NEVER, SUBSTITUTES

PACKAGE = Path(parlour.__file__).parent
# What decides, on both sides, and what is between them.
DECIDES = {
    "client/connection.py",
    "client/engine.py",
    "client/feed.py",
    "client/link.py",
    "client/store/local.py",
    "conversation/groups/committing.py",
    "conversation/groups/following.py",
    "conversation/machine.py",
    "double_ratchet/ratchet.py",
    "mls/private/group.py",
    "roster/roster.py",
    "server/core.py",
    "server/dispatcher.py",
    "server/groups/handshaking.py",
    "server/hub.py",
    "server/sessions.py",
    "server/socket/session.py",
    "server/store/sqlite/writer.py",
    "wire/frames.py",
}
# What the product calls of it, but for what people want, which comes in as a function.
CALLED = {
    "ClientSocket.close",
    "ClientSocket.recv",
    "ClientSocket.send",
    "InlineReaders.submit",
    "InlineWorker.run",
    "InlineWriter.submit",
    "Node._dial",
    "Node.clock",
    "ServerSocket.close",
    "ServerSocket.send",
    "SimulatedLoop.now",
    "SimulatedLoop.time",
}


@dataclass
class Used:
    """What ran of the product, and what it called of the simulation."""

    modules: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)

    def note(self, frame: FrameType, event: str, _argument: object) -> None:
        """A profiler's function."""
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(str(PACKAGE)):
            return
        path = name[len(str(PACKAGE)) + 1 :]
        if not path.startswith("testing/"):
            self.modules.add(path)
        elif frame.f_back is not None and path.startswith("testing/simulation/"):
            caller = frame.f_back.f_code.co_filename
            if caller.startswith(str(PACKAGE)) and "/testing/" not in caller:
                self.called.add(frame.f_code.co_qualname)


@contextmanager
def watched() -> Iterator[Used]:
    used = Used()
    before = sys.getprofile()
    sys.setprofile(used.note)
    try:
        yield used
    finally:
        sys.setprofile(before)


@pytest.fixture(scope="module")
def used() -> Used:
    with watched() as found:
        for seed, kind in ((8, "groups"), (4, "pairwise")):
            run(seed, kind, 60)
    return found


def test_the_product_uses_nothing_of_the_simulation_but_what_is_listed(used: Used) -> None:
    called = {name for name in used.called if "<lambda>" not in name}
    assert called <= CALLED
    # Nobody closes a connection with a word in each run.
    assert CALLED - called <= {"ClientSocket.close", "ServerSocket.close"}
    listed = {name.partition(".")[0] for name in SUBSTITUTES}
    assert {name.partition(".")[0] for name in called} <= listed


def test_what_is_listed_as_replaced_does_not_run_and_what_decides_does(used: Used) -> None:
    assert [name for name in sorted(NEVER | DECIDES) if not (PACKAGE / name).is_file()] == []
    assert used.modules & NEVER == set()
    assert used.modules >= DECIDES
