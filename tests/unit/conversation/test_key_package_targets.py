"""Key packages of others: fetched in batches, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from typing import Any

import pytest
from msgspec.structs import replace

from parlour.conversation import key_package_targets as module
from parlour.conversation.events import KeyPackageRefused
from parlour.conversation.key_package_targets import KeyPackageTargets, Ready, Target
from parlour.errors import Code, ParlourError
from parlour.mls import (
    BasicCredential,
    Group,
    Identity,
    KeyPackageBundle,
    Policy,
    X509Credential,
    find_suite,
)
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster import LeafCertificate
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.testing.mls import TRUST_EVERYONE
from parlour.wire.groups import FetchKeyPackages, FoundKeyPackage, FoundKeyPackages
from parlour.wire.kinds import Kind
from tests.scenario.people import heard

SUITE, XWING = 0x0001, 0xF001
_DAY = 24 * 3_600_000

Answer = Callable[[FoundKeyPackages], FoundKeyPackages]


class Story:
    """Anna wants to add the devices of Bob and Carla."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.anna = MemoryDevice(self.server, "anna")
        self.bob = MemoryDevice(self.server, "bob")
        self.phone = MemoryDevice(self.server, "bob", seed="phone", beside=self.bob)
        self.carla = MemoryDevice(self.server, "carla")
        self.devices = [self.bob, self.phone, self.carla]
        for device in (*self.devices, self.anna):
            device.connect()
        self.anna.meet("bob")
        self.anna.meet("carla")
        self.asked: list[list[bytes]] = []
        self.server.answer = self._answer
        self.lie: Answer = lambda answer: answer

    def _answer(self, device_id: bytes, kind: Kind, body: Any, answer: Any) -> Any:
        if kind is not Kind.FETCH_KEY_PACKAGES:
            return answer
        self.asked.append(list(body.device_ids))
        return self.lie(answer)

    @property
    def targets(self) -> KeyPackageTargets:
        return self.anna.machine._key_package_targets

    @property
    def all(self) -> list[Target]:
        return [target(device) for device in self.devices]

    def fetch(self, suite: int = SUITE) -> Ready:
        self.targets.want(suite, self.all)
        self.anna.settle()
        self.anna.wait(120_000)
        ready = self.targets.ready(suite, self.all)
        assert ready is not None
        return ready

    def reasons(self) -> list[tuple[bytes, Code]]:
        return [(event.device_id, event.reason) for event in heard(self.anna, KeyPackageRefused)]


def target(device: MemoryDevice) -> Target:
    return device.machine.account_id, device.machine.device_id


def test_one_for_each_device_is_fetched_and_kept_until_it_is_used() -> None:
    story = Story()
    assert story.targets.requests() == []
    story.targets.want(SUITE, story.all)
    assert story.targets.ready(SUITE, story.all) is None
    assert story.targets.left(SUITE) == 3
    story.anna.settle()
    assert story.targets.left(SUITE) == 0
    ready = story.targets.ready(SUITE, story.all)
    assert ready is not None
    assert ready.missing == {}
    assert list(ready.packages) == [device.machine.device_id for device in story.devices]
    for device in story.devices:
        package = ready.packages[device.machine.device_id]
        assert device.machine._key_packages.find(package.reference(find_suite(SUITE)))
    # They stay, and are not fetched again, until they are used.
    assert story.fetch() == ready
    assert len(story.asked) == 1
    story.targets.used([story.bob.machine.device_id])
    second = story.fetch()
    assert story.asked[1:] == [[story.bob.machine.device_id]]
    bob = story.bob.machine.device_id
    assert second.packages[bob] != ready.packages[bob]


def test_many_are_fetched_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    story = Story()
    assert story.fetch().missing == {}
    assert [len(asked) for asked in story.asked] == [2, 1]
    # Nor does all that was asked for have to be answered at once.
    story.server.lists_per_answer = 1
    assert story.fetch(XWING).missing == {}
    assert [len(asked) for asked in story.asked[2:]] == [2, 2, 1]


def test_which_suites_all_devices_support() -> None:
    story = Story()
    phone = story.server.key_packages[story.phone.machine.device_id]
    phone[:] = [package for package in phone if package.suite == SUITE]
    assert story.fetch(XWING).missing == {story.phone.machine.device_id: Code.KEY_PACKAGE_NONE}
    assert not story.targets.supports_all(XWING, story.all)
    assert story.targets.supports_all(XWING, [target(story.bob), target(story.carla)])
    story.fetch(SUITE)
    assert story.targets.supports_all(SUITE, story.all)
    assert story.reasons() == []


def test_a_device_without_any_is_asked_again_when_that_was_said() -> None:
    story = Story()
    story.server.key_packages[story.phone.machine.device_id] = []
    phone = target(story.phone)
    story.targets.want(SUITE, [phone])
    story.anna.settle()
    story.targets.want(SUITE, [phone])
    assert story.targets.requests() == []
    assert story.targets.ready(SUITE, [phone]) == Ready({}, {phone[1]: Code.KEY_PACKAGE_NONE})
    story.phone.connect()
    story.targets.want(SUITE, [phone])
    story.anna.settle()
    ready = story.targets.ready(SUITE, [phone])
    assert ready is not None
    assert list(ready.packages) == [phone[1]]
    # Who was never asked for has none here.
    bob = target(story.bob)
    assert story.targets.ready(SUITE, [bob]) == Ready({}, {bob[1]: Code.KEY_PACKAGE_NONE})


def test_what_lay_here_for_too_long_is_fetched_anew() -> None:
    story = Story()
    story.fetch()
    story.anna.wait(43 * _DAY)
    assert story.targets.supports_all(SUITE, story.all)
    story.anna.wait(_DAY)
    # The certificate of a linked device, good for 45 days, runs out.
    assert story.targets.supports_all(SUITE, [target(story.bob), target(story.carla)])
    assert not story.targets.supports_all(SUITE, story.all)


# --- What can be wrong with one ------------------------------------------------------------


def _swapped(story: Story, **changes: Any) -> Answer:
    """Bob's package is another one, made by who has the keys of Bob's device."""
    local = story.bob.machine._memory.local
    now = story.server.now // 1000
    device_key = changes.get("device_key", local.signature_key)
    leaf_key = Ed25519PrivateKey.generate(story.bob.random)
    certificate = LeafCertificate.create(
        device_key,
        account=changes.get("account", local.identity.account_id),
        leaf_key=changes.get("leaf_key", leaf_key.public_key.to_bytes()),
        issued_at=changes.get("issued_at", now),
        expires_at=changes.get("expires_at", now + 86_400),
    )
    certificate = replaced(certificate, signature=changes.get("signature", certificate.signature))
    honest = story.bob.machine._key_packages.identity(SUITE, now)
    credential = changes.get("credential", BasicCredential(certificate.encode()))
    identity: Identity = replaced(honest, credential=credential, signer=leaf_key)
    if "capabilities" in changes:
        identity = replaced(identity, capabilities=changes["capabilities"])
    if "suite" in changes:
        identity = replaced(identity, suite=find_suite(changes["suite"]))
    bundle = KeyPackageBundle.create(
        identity,
        changes.get("made_at", now),
        lifetime=changes.get("lifetime", 86_400),
        random=story.bob.random,
    )
    return _with(story.bob, lambda _: changes.get("change", lambda data: data)(bundle.message))


def _with(device: MemoryDevice, change: Callable[[bytes], bytes]) -> Answer:
    """What is given for one device is changed."""

    def lie(answer: FoundKeyPackages) -> FoundKeyPackages:
        packages = [
            replace(each, data=change(each.data))
            if each.device_id == device.machine.device_id
            else each
            for each in answer.packages
        ]
        return replace(answer, packages=packages)

    return lie


def _damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _mallory() -> Ed25519PrivateKey:
    return Ed25519PrivateKey(bytes(range(32)))


def _bare(story: Story) -> Any:
    identity = story.bob.machine._key_packages.identity(SUITE, 0)
    return replaced(identity.capabilities, extensions=())


LIES: dict[str, tuple[Callable[[Story], Answer], Code]] = {
    "damaged": (lambda s: _with(s.bob, _damaged), Code.KEY_PACKAGE_INVALID),
    "cut": (lambda s: _with(s.bob, lambda data: data[:-1]), Code.KEY_PACKAGE_INVALID),
    "longer": (lambda s: _with(s.bob, lambda data: data + b"\x00"), Code.KEY_PACKAGE_INVALID),
    "no key package": (
        lambda s: _swapped(s, change=lambda data: _message(s)),
        Code.KEY_PACKAGE_INVALID,
    ),
    "of another device": (lambda s: _swapped(s, device_key=_mallory()), Code.KEY_PACKAGE_INVALID),
    "of another account": (lambda s: _swapped(s, account=bytes(16)), Code.KEY_PACKAGE_INVALID),
    "for another leaf": (lambda s: _swapped(s, leaf_key=bytes(32)), Code.KEY_PACKAGE_INVALID),
    "signed by nobody": (lambda s: _swapped(s, signature=bytes(64)), Code.KEY_PACKAGE_INVALID),
    "no certificate": (
        lambda s: _swapped(s, credential=X509Credential((b"x",))),
        Code.KEY_PACKAGE_INVALID,
    ),
    "malformed certificate": (
        lambda s: _swapped(s, credential=BasicCredential(b"bob")),
        Code.KEY_PACKAGE_INVALID,
    ),
    "another suite": (lambda s: _swapped(s, suite=XWING), Code.KEY_PACKAGE_INVALID),
    "too long a life": (
        lambda s: _swapped(s, lifetime=91 * 86_400, expires_at=s.server.now // 1000 + 100 * 86_400),
        Code.KEY_PACKAGE_INVALID,
    ),
    "without rosters": (lambda s: _swapped(s, capabilities=_bare(s)), Code.KEY_PACKAGE_INVALID),
    "certified later": (
        lambda s: _swapped(s, issued_at=s.server.now // 1000 + 7_200),
        Code.KEY_PACKAGE_INVALID,
    ),
    "certified long ago": (
        lambda s: _swapped(
            s, issued_at=s.server.now // 1000 - 86_400, expires_at=s.server.now // 1000
        ),
        Code.KEY_PACKAGE_EXPIRED,
    ),
    "made long ago": (
        lambda s: _swapped(s, made_at=s.server.now // 1000 - 90 * 86_400),
        Code.KEY_PACKAGE_EXPIRED,
    ),
    "made later": (
        lambda s: _swapped(s, made_at=s.server.now // 1000 + 90 * 86_400),
        Code.KEY_PACKAGE_EXPIRED,
    ),
}


def _message(story: Story) -> bytes:
    """A message of MLS that is none that adds somebody."""
    now = story.server.now // 1000
    identity = Identity.generate(BasicCredential(b"bob"), random=story.bob.random)
    group = Group.create(identity, b"g", now, policy=Policy(TRUST_EVERYONE))
    return group.encrypt(b"hello")


@pytest.mark.parametrize("name", LIES)
def test_a_package_that_is_not_good_is_fetched_once_more_and_named(name: str) -> None:
    story = Story()
    lie, reason = LIES[name]
    story.lie = lie(story)
    ready = story.fetch()
    bob = story.bob.machine.device_id
    assert ready.missing == {bob: reason}
    assert set(ready.packages) == {each[1] for each in story.all} - {bob}
    assert [asked for asked in story.asked if bob in asked] == story.asked
    assert len(story.asked) == 2
    assert story.reasons() == [(bob, reason)]


def test_one_that_was_mixed_up_once_is_forgotten() -> None:
    story = Story()
    lie = _with(story.bob, _damaged)

    def once(answer: FoundKeyPackages) -> FoundKeyPackages:
        story.lie = lambda answer: answer
        return lie(answer)

    for _ in range(2):
        story.lie = once
        assert story.fetch().missing == {}
        story.targets.used([story.bob.machine.device_id])
    assert story.reasons() == []


def test_a_device_that_left_its_list_is_not_added() -> None:
    story = Story()
    story.targets.want(SUITE, story.all)
    (request,) = story.targets.requests()
    answer = story.server.request(story.anna.machine.device_id, request.kind, request.body)
    story.bob.remove(story.phone)
    story.anna.machine._directory.want(story.bob.machine.account_id)
    story.anna.machine._memory.forget(story.carla.machine.account_id)
    story.anna.settle()
    asked = request.body
    assert isinstance(asked, FetchKeyPackages)
    assert isinstance(answer, FoundKeyPackages)
    story.targets.answered(asked, answer, story.server.now)
    story.targets.answered(asked, answer, story.server.now)
    ready = story.targets.ready(SUITE, story.all)
    assert ready is not None
    assert set(ready.missing) == {story.phone.machine.device_id, story.carla.machine.device_id}


def test_a_device_that_two_accounts_name_is_its_owners() -> None:
    """Whoever lists somebody else's device can't be added by its key package."""
    story = Story()
    mallory = (story.carla.machine.account_id, story.bob.machine.device_id)
    story.targets.want(SUITE, [mallory, target(story.bob)])
    story.anna.settle()
    ready = story.targets.ready(SUITE, [target(story.bob)])
    assert ready is not None
    assert list(ready.packages) == [story.bob.machine.device_id]
    story.anna.wait(120_000)
    ready = story.targets.ready(SUITE, [mallory])
    assert ready is not None
    assert ready.packages == {}


def _double(answer: FoundKeyPackages) -> FoundKeyPackages:
    return replace(answer, packages=answer.packages * 2)


def _other(answer: FoundKeyPackages) -> FoundKeyPackages:
    return replace(answer, packages=[FoundKeyPackage(bytes(16), False, answer.packages[0].data)])


@pytest.mark.parametrize(
    "lie",
    [_double, _other, lambda a: replace(a, asked=0), lambda a: replace(a, asked=1)],
    ids=["twice", "of another device", "nothing", "more than it looked for"],
)
def test_what_is_no_answer_is_refused(lie: Answer) -> None:
    story = Story()
    story.targets.want(SUITE, story.all)
    (request,) = story.targets.requests()
    answer: Any = story.server.request(story.anna.machine.device_id, request.kind, request.body)
    asked: Any = request.body
    with pytest.raises(ParlourError) as caught:
        story.targets.answered(asked, lie(answer), story.server.now)
    assert caught.value.code is Code.SERVER_MISBEHAVED
    assert story.targets.ready(SUITE, story.all) is None
    story.targets.answered(asked, answer, story.server.now)
    assert story.targets.ready(SUITE, story.all) is not None
