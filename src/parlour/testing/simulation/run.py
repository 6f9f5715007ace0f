"""One run: a world is made, a program runs in it, all faults stop, and the oracle compares.

What may differ between two runs of one seed is the time that they take.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from parlour.errors import Code
from parlour.testing.simulation.agreement import differences, orphans, settings_apart, unfulfilled
from parlour.testing.simulation.forks import unnamed
from parlour.testing.simulation.harm import did_harm
from parlour.testing.simulation.lies import NAMES
from parlour.testing.simulation.loop import YEAR, SimulatedLoop, Stuck
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.population import CROWD
from parlour.testing.simulation.population import NAMES as PEOPLE
from parlour.testing.simulation.process import make_task
from parlour.testing.simulation.program import Drawn, Step, actions_of, lies
from parlour.testing.simulation.secrecy import trespasses
from parlour.testing.simulation.trace import Trace
from parlour.testing.simulation.verdict import Judge, Verdict
from parlour.testing.simulation.world import World

# Seconds until everybody is connected and has sent and read all, once all faults have stopped. A
# device that has often asked in vain tries again after 40 minutes on one connection (`ladder`).
REST: Final = 3600
# Days in which what could not be read is asked for again, and given up at the end.
DAYS: Final = 9
# Turns of the loop after which a run is taken for one that never ends: ten times the usual.
TURNS: Final = 200_000
TURNS_PER_STEP: Final = 2_000
_DAY: Final = 24 * 3600
_BEFORE_SPEAKING: Final = ("the faults stopped", "all connected again")
_SETTLING_IN: Final = 5
_REMOVED: Final = (Code.DEVICE_REMOVED, Code.TOKEN_INVALID, Code.TOKEN_REVOKED)
# Whoever has another one than the other side meets it as well: who begins decides for both.
_PRESETS: Final = ("default", "default-mls", "famichat")
_DEFAULT_ALONE: Final = 0.5
# Of so many runs with groups, one has a crowd: each takes as long as several others.
_CROWDS: Final = 6
_LEAST_CROWD: Final = 5
# What ends a run that is not over: `Killed` is a cancelling.
_RAISED: Final = (Exception, asyncio.CancelledError)
# Rounds of cancelling what is left when a run is over.
_SWEEPS: Final = 10


class Program(Protocol):
    """Where steps come from."""

    def steps(self, world: World) -> Iterator[Step]:
        """One step after the other; the world moves on in between."""
        ...


@dataclass(slots=True)
class Run:
    """A run that is over. `problems` is empty where all is as it must be."""

    seed: int
    kind: str
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    counts: dict[str, int] = field(default_factory=dict)
    lies: dict[str, int] = field(default_factory=dict)
    effects: dict[str, int] = field(default_factory=dict)
    trace: str = ""
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """The run's line in a file of records."""
        verdict = self.verdict
        return {
            "seed": self.seed,
            "steps": len(self.steps),
            "sent": verdict.sent,
            "delivered": verdict.delivered,
            "repaired": verdict.repaired,
            "lost": verdict.lost,
            "unreadable": verdict.unreadable,
            "unreadable_without_reason": verdict.unreadable_without_reason,
            "kind": self.kind,
            "server": "lying" if lies(self.seed) else "honest",
            "excused": dict(sorted(verdict.excused.items())),
            "lies": self.lies,
            "actions": self.counts,
            "effects": self.effects,
            "problems": self.problems,
            "seconds": round(self.seconds, 2),
            "trace": self.trace,
        }


def people_of(seed: int) -> dict[str, int]:
    """Who takes part in the run of that seed, with how many devices each."""
    chance = random.Random(f"people {seed}")
    return {name: chance.choice((1, 1, 2, 3)) for name in PEOPLE[: chance.choice((2, 3, 3, 4))]}


def presets_of(seed: int, kind: str) -> dict[str, str]:
    """Who prefers which preset: in half of the runs with groups, some people talk on MLS in twos.

    Whoever is not named has the default.
    """
    chance = random.Random(f"presets {seed}")
    if kind != "groups" or chance.random() < _DEFAULT_ALONE:
        return {}
    return {name: chance.choice(_PRESETS) for name in people_of(seed)}


def crowd_of(seed: int) -> tuple[str, ...]:
    """Who comes when a run with groups has begun: in one of six, many at the same moment."""
    chance = random.Random(f"crowd {seed}")
    if chance.randrange(_CROWDS):
        return ()
    return CROWD[: chance.randint(_LEAST_CROWD, len(CROWD))]


def run(
    seed: int, kind: str, count: int, program: Program | None = None, *, show: bool = False
) -> Run:
    """Run one seed: its own program of `count` steps, or another one."""
    began = time.perf_counter()
    result = Run(seed, kind)
    try:
        _run(result, count, program or Drawn(seed, kind, count), show=show)
    except _RAISED as fault:
        result.problems.append(raised(fault))
    result.seconds = time.perf_counter() - began
    return result


def raised(fault: BaseException) -> str:
    """What was raised, and where: a run that can't go on has failed, and others go on."""
    places = traceback.extract_tb(fault.__traceback__)
    where = f" in {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"raised {type(fault).__name__}: {fault}{where}"


def _run(result: Run, count: int, program: Program, *, show: bool) -> None:
    seed, kind = result.seed, result.kind
    loop = SimulatedLoop()
    loop.set_task_factory(make_task)  # type: ignore[arg-type]
    loop.most_turns = TURNS + TURNS_PER_STEP * count
    # People vanish for days: of two thousand steps, some take more than a year.
    loop.longest = YEAR * (1 + count // 1_000)
    trace = Trace(loop.time, show=show)
    was_enabled = gc.isenabled()
    # Whenever garbage is collected, it is at another moment; and it takes a fifth of the time. At
    # the end, only what the run has left is looked through.
    gc.freeze()
    gc.disable()
    try:
        asyncio.set_event_loop(loop)
        presets = presets_of(seed, kind)
        crowd = crowd_of(seed) if kind == "groups" else ()
        world = World(str(seed), people_of(seed), trace, loop, presets, crowd)
        running = _Running(world, result, program)
        try:
            loop.run_until_complete(running.all())
        except Stuck as stuck:
            result.problems.append(str(stuck))
        except _RAISED as fault:
            result.problems.append(raised(fault))
        loop.most_turns, loop.longest = sys.maxsize, math.inf
        running.conclude()
        _clear(loop)
        running.check_loop()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        if was_enabled:
            gc.enable()
            gc.collect()
    result.trace = trace.hash()


def _clear(loop: SimulatedLoop) -> None:
    """End all tasks that are left."""
    for _ in range(_SWEEPS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))


class _Running:
    """What happens in a run, in its order."""

    def __init__(self, world: World, result: Run, program: Program) -> None:
        self._world = world
        self._result = result
        self._program = program
        self._actions = actions_of(result.kind)
        self._ended = False
        self._excused: set[tuple[str, bytes]] = set()

    async def all(self) -> None:
        """From the beginning to the end."""
        world = self._world
        world.settle_in()
        await asyncio.sleep(_SETTLING_IN)
        for step in self._program.steps(world):
            self._result.steps.append(step)
            world.trace.note("step", step.action, " ".join(map(str, step.arguments)))
            action = self._actions[step.action]
            action.act(world, *step.arguments)
            world.effects[step.action] += not action.later
            await asyncio.sleep(step.pause / 1000)
            while world.days:
                world.days -= 1
                world.pass_a_night()
                await asyncio.sleep(_DAY)
                await world.server.sweep()
        await self._end()
        self._ended = True

    async def _end(self) -> None:
        world = self._world
        world.trace.note("world", "end")
        await self._use_copies()
        world.mend_everything()
        await self._rest(_BEFORE_SPEAKING[0])
        if lies(self._result.seed):
            # Who was kept out for hours comes back by itself a few times a day, and no oftener.
            await asyncio.sleep(_DAY)
        world.reconnect_everybody()
        await self._rest(_BEFORE_SPEAKING[1])
        self._probe()
        await self._rest("everybody spoke once more")
        for _ in range(DAYS):
            if not any(_holds(node) for node in world.present()):
                break
            await asyncio.sleep(_DAY)
            await world.server.sweep()
            world.reconnect_everybody()
            await self._rest("a day passed")

    async def _rest(self, when: str) -> None:
        world = self._world
        # What the server hid of a group shows when somebody speaks there.
        agreeing = when not in _BEFORE_SPEAKING
        if not await world.come_to_rest(REST, agreeing=agreeing):
            for node in world.present():
                self._say_what_is_up(node, when, agreeing=agreeing)
            for difference in differences(world) if agreeing else ():
                self._problem(f"after {when}: {difference}")
            world.trace.note("world", "restless")

    def _say_what_is_up(self, node: Node, when: str, *, agreeing: bool) -> None:
        if not node.online:
            reason = node.link.status.last_error if node.ready else "it does not start"
            self._problem(f"{node.label} does not connect after {when}: {reason}")
            return
        machine = node.engine.machine
        state = (
            f"{machine.waiting} wait, caught up: {machine.caught_up}, telling: {machine.telling}"
        )
        named = self._world.oracle.heard[node.label].names["sending.blocked"]
        if not self._world.is_quiet(node, agreeing=agreeing) and not (
            lies(self._result.seed) and named
        ):
            self._problem(f"{node.label} does not come to rest after {when}: {state}")

    def _probe(self) -> None:
        """Everybody says one thing more to everybody they know: what is missing shows by it."""
        for node in self._world.present():
            known = [name for name in self._world.names if name != node.name]
            for name in known:
                if node.ready and node.engine.machine.contact_named(name) is not None:
                    node.do(node.say(name, self._world.next_text(node.label)))
            groups = node.engine.machine.group_names.items() if node.ready else ()
            for group, each in groups:
                if not each.is_over:
                    node.do(node.tell(group, self._world.next_text(node.label)))

    async def _use_copies(self) -> None:
        """A copy of a home that is older than its original is refused, and told why."""
        world = self._world
        for copy, node, times in world.copies:
            if not copy.on and world.times_up(node) < times + 2:
                continue
            copy.line.heal()
            if not world.server.up:
                world.server.start()
            world.server.fill(full=False)
            copy.start()
            for _ in range(60):
                if copy.failure is not None:
                    break
                await asyncio.sleep(5)
            code = None if copy.failure is None else copy.failure.code
            world.effects["use_copy"] += code is Code.DEVICE_COPIED
            if code not in (Code.DEVICE_COPIED, *_REMOVED):
                self._problem(f"{copy.label}, a copy, is not refused: {code}")
            copy.kill()

    # --- The verdict ---------------------------------------------------------------------

    def conclude(self) -> None:
        """Compare what was said with what was heard."""
        world, result = self._world, self._result
        oracle = world.oracle
        self._read_disks()
        nodes = world.present() + self._removed()
        judge = Judge(
            oracle, nodes, world.chronicle.leavers(), orphans(world), lying=lies(result.seed)
        )
        if self._ended:
            result.verdict = judge.judge()
            self._excused = judge.excused
            self._check_removed()
            self._check_lies()
            for problem in [
                *unfulfilled(world),
                *([] if lies(result.seed) else settings_apart(world)),
                *trespasses(world),
                *unnamed(world, NAMES["fork"]),
            ]:
                self._problem(problem)
        result.problems += oracle.problems
        for bug in world.server.bugs():
            self._problem(f"the server: {bug}")
        result.counts = dict(sorted(world.trace.counts.items()))
        result.effects = self._effects()

    def _effects(self) -> dict[str, int]:
        world = self._world
        world.meddler.end_all()
        effects = world.effects + world.chronicle.effects()
        return {name: effects[name] for name in sorted(effects) if name in self._actions}

    def _removed(self) -> list[Node]:
        return [node for node in self._world.nodes.values() if not node.on_list]

    def _read_disks(self) -> None:
        """Who was killed may have written what nobody knows of."""
        for node in self._world.nodes.values():
            for message, text in node.own_messages():
                self._world.oracle.written(message, text)

    def _check_removed(self) -> None:
        """Who was taken off the list knows."""
        for node in self._removed():
            code = None if node.failure is None else node.failure.code
            if code not in _REMOVED:
                state = f"{code}, ready: {node.ready}, on: {node.on}"
                self._problem(f"{node.label} was removed, and is told {state}")

    def _check_lies(self) -> None:
        """Of each lie that reached a device something was told, or what it touched came anyway."""
        world = self._world
        for hit in world.meddler.hits:
            if hit.meddling not in NAMES:
                continue
            node = next(each for each in world.nodes.values() if each.device_id == hit.device_id)
            names = world.oracle.heard[node.label].names.keys()
            named = "named" if names & NAMES[hit.meddling] else "harmless"
            harm = did_harm(world, node, hit, self._excused) if named == "harmless" else None
            if harm is not None:
                named = "unnamed"
                self._problem(f"{node.label} is told nothing of {hit.meddling}: {harm}")
            counted = f"{hit.meddling} {named}"
            self._result.lies[counted] = self._result.lies.get(counted, 0) + 1

    def check_loop(self) -> None:
        """Nothing failed where nobody waited for it."""
        for context in self._world.loop.faults:
            failure = context.get("exception")
            if isinstance(failure, Exception):
                self._problem(f"{context['message']}: {failure!r}")

    def _problem(self, text: str) -> None:
        self._result.problems.append(text)


def _holds(node: Node) -> bool:
    """Whether a device holds something that it can't read yet."""
    return bool(node.disk.count("SELECT count(*) FROM record WHERE namespace = 'held'"))
