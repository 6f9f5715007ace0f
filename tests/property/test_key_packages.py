"""Random walks of key packages over a server that loses answers and devices that stop.

Each for a single use leaves its device once, is given out once, and is erased for good when it was
used; what was given out and not used stays, so that nobody who adds a device by it is let down.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlour.conversation.changes import Namespace
from parlour.errors import Code, error
from parlour.mls import KeyPackageMessage, decode_message, find_suite
from parlour.testing.device import Killed, MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.groups import FetchKeyPackages, FoundKeyPackages, PublishKeyPackages
from parlour.wire.kinds import Kind
from parlour.wire.push import PushKeyPackagesLow

SUITE = 0x0001
_HOUR = 3_600_000


def reference(data: bytes) -> bytes:
    message = decode_message(data)
    assert isinstance(message, KeyPackageMessage)
    return message.key_package.reference(find_suite(SUITE))


class Walk:
    """One device, and those who add it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.server = MemoryServer()
        self.server.answer = self._answer
        self.left: list[bytes] = []
        self.given: list[bytes] = []
        self.used: set[bytes] = set()
        # Whether the answer to what is published next does not arrive.
        self.loses = False
        self.device = MemoryDevice(self.server, "anna")
        self.device.supply = {SUITE: 3}
        self.device.restart()

    def _answer(self, device_id: bytes, kind: Kind, body: Any, answer: Any) -> Any:
        if isinstance(body, PublishKeyPackages):
            self.left += [each.data for each in body.packages if not each.last_resort]
            if self.loses:
                self.loses = False
                raise error(Code.NETWORK_CLOSED)
        return answer

    def step(self) -> None:
        """Do one thing; the device may die of it, or a request or its answer be lost."""
        self.device.fault = self._fault()
        self.loses = self.dice.random() < 0.2
        act = self.dice.choice(
            [self.connect, self.connect, self.add, self.add, self.low, self.wait]
        )
        try:
            act()
        except Killed:
            self.device.restart()
        self.device.fault = lambda step: None
        self.check()

    def _fault(self) -> Any:
        at, problem = self.dice.randrange(1, 40), self.dice.choice([Killed(), None])
        steps = 0

        def fault(step: str) -> None:
            nonlocal steps
            steps += 1
            if steps != at:
                return
            if problem is not None:
                raise problem
            if step == "before request":
                raise error(self.dice.choice([Code.NETWORK_CLOSED, Code.LIMIT_RATE]))
            if step == "after request":
                raise error(Code.NETWORK_CLOSED)

        return fault

    def connect(self) -> None:
        self.device.connect()

    def low(self) -> None:
        if not self.device.online:
            return
        counts: Any = self.server._count_key_packages(self.device.machine.device_id)
        self.device.machine.pushed(PushKeyPackagesLow(counts), self.server.now)
        self.device.settle()

    def wait(self) -> None:
        self.server.now += self.dice.choice([1000, 120_000, _HOUR, 30 * _HOUR])
        self.device.machine.handle_timeout(self.server.now)
        if self.device.online:
            self.device.settle()

    def add(self) -> None:
        """Somebody takes a key package; often they use it, and the device takes the Welcome."""
        body = FetchKeyPackages(suite=SUITE, device_ids=[self.device.machine.device_id])
        answer = self.server.request(self.device.machine.device_id, Kind.FETCH_KEY_PACKAGES, body)
        assert isinstance(answer, FoundKeyPackages)
        for package in answer.packages:
            if not package.last_resort:
                self.given.append(package.data)
            if self.dice.random() < 0.7:
                self._welcome(package.data, last_resort=package.last_resort)

    def _welcome(self, data: bytes, *, last_resort: bool) -> None:
        packages = self.device.machine._key_packages
        name = reference(data)
        (bundle,) = packages.bundles_for([name])
        assert bundle.message == data
        packages.used(name, self.server.now)
        try:
            self.device._write()
        finally:
            # Whoever dies before it is written down has not taken the Welcome, and takes it later.
            if not last_resort and name not in self.device.store.records[Namespace.KEY_PACKAGE]:
                self.used.add(name)

    def check(self) -> None:
        assert len(set(self.left)) == len(self.left)
        assert len(set(self.given)) == len(self.given)
        packages = self.device.machine._key_packages
        assert not any(packages.find(name) for name in self.used)
        waiting = {reference(data) for data in self.given} - self.used
        # For 90 days, which no walk takes.
        assert all(packages.find(name) for name in waiting)

    def finish(self) -> None:
        self.loses = False
        self.device.fault = lambda step: None
        self.device.restart()
        self.device.connect()
        self.device.wait(2 * _HOUR)
        self.device.connect()
        (count,) = self.server._count_key_packages(self.device.machine.device_id).counts
        assert count.left >= 2
        assert count.last_resort
        self.check()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 32))
def test_key_packages_are_given_out_once_and_erased_once_they_were_used(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(25):
        walk.step()
    walk.finish()
