"""This device's key packages: how many there are, when they are made again, what is erased."""

from __future__ import annotations

import pytest

from parlour.conversation import key_packages as module
from parlour.conversation.changes import Namespace
from parlour.conversation.key_packages import (
    COUNT_KEY_PACKAGES,
    KeyPackages,
)
from parlour.conversation.leaf_certificates import (
    LINKED_LIFETIME,
    PRIMARY_LIFETIME,
    OneDevice,
)
from parlour.conversation.records import OwnKeyPackage
from parlour.conversation.state import Memory
from parlour.errors import Code, TransportError, error
from parlour.mls import BasicCredential, Identity
from parlour.roster import EXTENSION_TYPE, LeafCertificate
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.groups import (
    FetchKeyPackages,
    FoundKeyPackages,
    KeyPackageCount,
    KeyPackageCounts,
    KeyPackageUpload,
    PublishKeyPackages,
)
from parlour.wire.kinds import Kind
from parlour.wire.push import PushKeyPackagesLow
from parlour.wire.server import Nothing

SUITE, XWING = 0x0001, 0xF001
SUITES = (SUITE, XWING)
_HOUR = 3_600_000
_DAY = 24 * _HOUR


def made(supply: int = 3, *, linked: bool = False) -> tuple[MemoryServer, MemoryDevice]:
    """A device that has a key package supply of so many; it was not connected yet."""
    server = MemoryServer()
    device = MemoryDevice(server, "anna")
    if linked:
        device = MemoryDevice(server, "anna", seed="phone", beside=device)
    device.supply = dict.fromkeys(SUITES, supply)
    device.restart()
    return server, device


def memory_of(device: MemoryDevice) -> Memory:
    return device.machine._memory


def key_packages_of(device: MemoryDevice) -> KeyPackages:
    return device.machine._key_packages


def kept(device: MemoryDevice, *, last_resort: bool = False) -> dict[bytes, OwnKeyPackage]:
    packages = memory_of(device).key_packages.items()
    return {ref: each for ref, each in packages if each.last_resort is last_resort}


def current(device: MemoryDevice, suite: int = SUITE) -> bytes:
    """The reference of the last resort."""
    last_resorts = kept(device, last_resort=True).items()
    (reference,) = [
        ref for ref, each in last_resorts if each.suite == suite and not each.replaced_at
    ]
    return reference


def at_server(server: MemoryServer, device: MemoryDevice) -> list[tuple[int, int, bool, bool]]:
    counts = server.request(device.machine.device_id, Kind.COUNT_KEY_PACKAGES, Nothing())
    assert isinstance(counts, KeyPackageCounts)
    return [
        (each.suite, each.left, each.last_resort, each.last_resort_used) for each in counts.counts
    ]


def fetch(server: MemoryServer, device: MemoryDevice, suite: int = SUITE) -> bytes:
    """Take one, as somebody does who wants to add the device; its reference."""
    body = FetchKeyPackages(suite=suite, device_ids=[device.machine.device_id])
    answer = server.request(device.machine.device_id, Kind.FETCH_KEY_PACKAGES, body)
    assert isinstance(answer, FoundKeyPackages)
    bundles = [(ref, key_packages_of(device).find(ref)) for ref in memory_of(device).key_packages]
    (found,) = [ref for ref, b in bundles if b and b.message == answer.packages[0].data]
    return found


def certificate(identity: Identity) -> LeafCertificate:
    assert isinstance(identity.credential, BasicCredential)
    return LeafCertificate.decode(identity.credential.identity)


def counted(device: MemoryDevice, *counts: KeyPackageCount) -> None:
    push = PushKeyPackagesLow(KeyPackageCounts(list(counts)))
    device.machine.pushed(push, device.server.now)
    device.settle()


# --- What a leaf says --------------------------------------------------------------------


def test_a_leaf_signs_with_a_key_of_its_own_that_its_device_certifies() -> None:
    server, device = made()
    now = server.now // 1000
    identity = key_packages_of(device).identity(XWING, now)
    shown = certificate(identity)
    own = memory_of(device).local.identity
    shown.verify(own.signature_key)
    assert (shown.account, shown.device) == (own.account_id, own.device_id)
    assert shown.leaf_key == identity.signer.public_key.to_bytes()
    assert shown.leaf_key != own.signature_key.to_bytes()
    assert shown.expires_at - shown.issued_at == PRIMARY_LIFETIME
    assert identity.suite.id == XWING
    assert identity.capabilities.supports_extension(EXTENSION_TYPE)
    assert set(SUITES) <= set(identity.capabilities.cipher_suites)
    # One key for all suites, the same after a restart.
    device.settle()
    device.restart()
    assert key_packages_of(device).identity(SUITE, now).signer.to_bytes() == (
        identity.signer.to_bytes()
    )


def test_a_linked_device_is_idle_sooner() -> None:
    server, device = made(linked=True)
    shown = certificate(key_packages_of(device).identity(SUITE, server.now // 1000))
    assert shown.expires_at - shown.issued_at == LINKED_LIFETIME


def test_who_adds_by_a_key_package_takes_one_device_alone() -> None:
    server, device = made()
    now = server.now // 1000
    first = key_packages_of(device).identity(SUITE, now)
    later = key_packages_of(device).identity(SUITE, now + 86_400)
    other = made(linked=True)[1].machine._key_packages.identity(SUITE, now)
    check = OneDevice(memory_of(device).local.identity, now)
    assert check.accepts(first.credential, first.signer.public_key.to_bytes())
    assert not check.accepts(other.credential, other.signer.public_key.to_bytes())
    assert check.succeeds(first.credential, later.credential)
    assert not check.succeeds(first.credential, other.credential)


def test_a_certificate_is_renewed_daily_and_the_key_each_90_days() -> None:
    server, device = made()
    packages, now = key_packages_of(device), server.now // 1000
    first = packages.identity(SUITE, now)
    assert packages.identity(SUITE, now + 86_399).credential == first.credential
    second = packages.identity(SUITE, now + 86_400)
    assert certificate(second).issued_at == now + 86_400
    assert second.signer.to_bytes() == first.signer.to_bytes()
    third = packages.identity(SUITE, now + 90 * 86_400)
    assert third.signer.to_bytes() != first.signer.to_bytes()
    assert certificate(third).leaf_key == third.signer.public_key.to_bytes()


def test_what_a_clock_made_that_was_far_ahead_is_made_again() -> None:
    server, device = made()
    packages, now = key_packages_of(device), server.now // 1000
    ahead = packages.identity(SUITE, now + 400 * 86_400)
    assert packages.identity(SUITE, now).signer.to_bytes() != ahead.signer.to_bytes()
    # A clock that goes back by little is no reason.
    before = packages.identity(SUITE, now - 3_600)
    assert certificate(before).issued_at == now


# --- Publishing --------------------------------------------------------------------------


def test_a_new_device_publishes_on_its_first_connection() -> None:
    server, device = made(supply=12)
    batches: list[int] = []
    seen: list[bool] = []

    def watch(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        if isinstance(body, PublishKeyPackages):
            batches.append(len(body.packages))
            seen.append(device.machine.can_be_added)
        return answer

    server.answer = watch  # type: ignore[assignment]
    assert at_server(server, device) == []
    assert not device.machine.can_be_added
    device.connect()
    # On no connection before the server has said that it has them.
    assert seen == [False] * 3
    assert device.machine.can_be_added
    assert at_server(server, device) == [(SUITE, 12, True, False), (XWING, 12, True, False)]
    assert batches == [10, 10, 6]  # in small steps
    (upload,) = [
        each
        for each in server.key_packages[device.machine.device_id]
        if each.last_resort and each.suite == SUITE
    ]
    assert upload.expires_at == server.now // 1000 + 90 * 86_400
    # All that is there is on disk, and a second connection publishes nothing.
    assert len(device.store.records[Namespace.KEY_PACKAGE]) == 26
    device.restart()
    assert not device.machine.can_be_added
    device.connect()
    assert device.machine.can_be_added
    assert batches == [10, 10, 6]


def test_packages_run_out_with_the_certificate_in_them() -> None:
    server, device = made(linked=True)
    device.connect()
    ends = {each.expires_at for each in server.key_packages[device.machine.device_id]}
    assert ends == {server.now // 1000 + LINKED_LIFETIME}


def test_few_that_are_left_are_refilled() -> None:
    server, device = made(supply=4)
    device.connect()
    fetch(server, device)
    fetch(server, device)
    device.connect()
    assert at_server(server, device)[0] == (SUITE, 2, True, False)
    fetch(server, device)
    counted(device, KeyPackageCount(SUITE, 1, True, False), KeyPackageCount(XWING, 4, True, False))
    assert at_server(server, device) == [(SUITE, 4, True, False), (XWING, 4, True, False)]


def test_certificates_in_published_packages_stay_fresh() -> None:
    for linked, days in ((False, 60), (True, 15)):
        server, device = made(supply=2, linked=linked)
        device.connect()
        before = current(device)
        device.wait((days - 1) * _DAY)
        assert current(device) == before
        device.wait(_DAY)
        assert current(device) != before
        # Those of before are still there for who has fetched them, and at the server.
        assert at_server(server, device)[0] == (SUITE, 4, True, False)
        assert key_packages_of(device).find(before) is not None


def test_a_server_that_claims_to_have_none_makes_us_keep_no_end() -> None:
    _, device = made(supply=2)
    device.connect()
    none = [KeyPackageCount(suite, 0, False, True) for suite in SUITES]
    before = module.MAX_KEPT
    try:
        module.MAX_KEPT = 9  # type: ignore[misc]
        for _ in range(10):
            counted(device, *none)
    finally:
        module.MAX_KEPT = before  # type: ignore[misc]
    assert len(kept(device)) == 2 * 9
    assert len(kept(device, last_resort=True)) == 2
    # Suites that are none of ours, and none at all.
    counted(device, KeyPackageCount(7, 0, False, True))
    assert {each.suite for each in memory_of(device).key_packages.values()} == set(SUITES)


def test_a_last_resort_that_was_given_out_is_replaced_at_most_hourly() -> None:
    server, device = made(supply=0)
    device.connect()
    first = fetch(server, device)
    assert first == current(device)
    device.connect()
    assert current(device) == first
    device.wait(_HOUR)
    device.connect()
    second = current(device)
    assert second != first
    assert at_server(server, device)[0] == (SUITE, 0, True, False)
    # Who was given the first one can still add us by it, for as long as a Welcome is kept.
    assert key_packages_of(device).find(first) is not None
    device.wait(29 * _DAY)
    assert key_packages_of(device).find(first) is not None
    device.wait(_DAY)
    assert key_packages_of(device).find(first) is None


def test_a_last_resort_that_the_server_lost_is_given_again() -> None:
    server, device = made(supply=1)
    device.connect()
    before = current(device)
    server.key_packages.clear()
    device.connect()
    assert current(device) == before
    assert at_server(server, device)[0] == (SUITE, 1, True, False)


def test_so_many_replaced_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LAST_RESORTS", 3)
    server, device = made(supply=0)
    device.connect()
    replaced = []
    for _ in range(5):
        replaced.append(current(device))
        device.machine._key_packages.used(replaced[-1], server.now)
        device.wait(1000)
    found = [key_packages_of(device).find(reference) is not None for reference in replaced]
    assert found == [False, False, False, True, True]  # and the current one


# --- Use ---------------------------------------------------------------------------------


def test_what_was_used_is_erased() -> None:
    server, device = made()
    device.connect()
    reference = fetch(server, device)
    packages = key_packages_of(device)
    (bundle,) = packages.bundles_for([bytes(32), reference])
    assert bundle.reference == reference
    packages.used(reference, server.now)
    packages.used(reference, server.now)  # nothing more
    assert packages.bundles_for([reference]) == []
    device.settle()
    assert reference not in device.store.records[Namespace.KEY_PACKAGE]
    device.restart()
    assert key_packages_of(device).find(reference) is None


def test_a_last_resort_that_was_used_is_replaced_and_good_for_others() -> None:
    server, device = made(supply=0)
    device.connect()
    first = fetch(server, device)
    packages = key_packages_of(device)
    packages.used(first, server.now)
    device.settle()
    second = fetch(server, device)
    assert second != first
    assert packages.find(first) is not None
    packages.used(first, server.now)  # by somebody else
    device.settle()
    assert current(device) == second
    assert packages.find(first) is not None


def test_packages_are_dropped_after_90_days() -> None:
    server, device = made(supply=2)
    device.connect()
    old = set(memory_of(device).key_packages)
    server.now += 90 * _DAY - 1000
    device.machine.handle_timeout(server.now)
    assert old <= set(memory_of(device).key_packages)
    server.now += _DAY
    device.machine.handle_timeout(server.now)
    assert not old & set(memory_of(device).key_packages)
    device.settle()
    assert not old & set(device.store.records[Namespace.KEY_PACKAGE])
    assert at_server(server, device) == [(SUITE, 2, True, False), (XWING, 2, True, False)]


# --- Answers that do not come -------------------------------------------------------------


class Watched:
    """The messages of all uploads, in order; `trouble` may lose one or more."""

    def __init__(self, server: MemoryServer) -> None:
        self.uploads: list[list[KeyPackageUpload]] = []
        self.trouble: list[Exception] = []
        server.answer = self._answer  # type: ignore[assignment]

    def _answer(self, device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        if isinstance(body, PublishKeyPackages):
            self.uploads.append(list(body.packages))
            if self.trouble:
                raise self.trouble.pop(0)
        return answer

    @property
    def one_time(self) -> list[bytes]:
        return [each.data for upload in self.uploads for each in upload if not each.last_resort]


def test_a_lost_answer_makes_nothing_leave_twice() -> None:
    server, device = made(supply=3)
    watched = Watched(server)
    watched.trouble = [TransportError(Code.NETWORK_CLOSED)]
    device.connect()
    device.wait(120_000)
    assert len(set(watched.one_time)) == len(watched.one_time)
    assert [left for _, left, _, _ in at_server(server, device)] == [3, 3]


def test_what_was_refused_is_sent_again() -> None:
    server, device = made(supply=1)
    server.key_packages = {}
    refused = error(Code.LIMIT_RATE)

    def once(step: str) -> None:
        nonlocal refused
        publishing = device.machine._key_packages._upload
        if step == "before request" and publishing and refused is not None:
            problem, refused = refused, None  # type: ignore[assignment]
            raise problem

    device.fault = once
    watched = Watched(server)
    device.connect()
    assert watched.uploads == []
    before = set(memory_of(device).key_packages)
    device.wait(120_000)
    assert len(watched.uploads) == 1
    assert set(memory_of(device).key_packages) == before


def test_what_was_under_way_when_the_connection_ended_does_not_leave_again() -> None:
    server, device = made(supply=1)
    watched = Watched(server)
    started = server.live_start(device.machine.device_id, device.machine.positions())
    device.machine.connected(started, server.now)
    (count,) = [
        each for each in device.machine.outgoing(server.now) if each.key[0] == COUNT_KEY_PACKAGES
    ]
    device.machine.answered(count, KeyPackageCounts([]), server.now)  # type: ignore[arg-type]
    (lost,) = device.machine.outgoing(server.now)
    device.store.apply(device.machine.changes())
    device.machine.disconnected()
    gone = [each.data for each in lost.body.packages if not each.last_resort]  # type: ignore[union-attr]
    assert len(gone) == 2
    device.connect()
    assert not set(gone) & set(watched.one_time)
    assert [left for _, left, _, _ in at_server(server, device)] == [1, 1]
    # The last resorts may have arrived or not, which does no harm.
    assert len(kept(device, last_resort=True)) == 2


def test_counts_that_come_while_something_is_published_change_nothing_of_it() -> None:
    server, device = made(supply=1)
    watched = Watched(server)

    def push(step: str) -> None:
        if step == "after request" and len(watched.uploads) == 1:
            device.machine.pushed(
                PushKeyPackagesLow(KeyPackageCounts([KeyPackageCount(SUITE, 0, True, False)])),
                server.now,
            )

    device.fault = push
    device.connect()
    assert len(set(watched.one_time)) == len(watched.one_time)
    assert at_server(server, device)[0][1] == 2
    assert all(each.published for each in kept(device, last_resort=True).values())


def test_a_package_that_is_used_while_it_is_published() -> None:
    """No honest server gives it out before it has it; nothing comes of it."""
    server, device = made(supply=1)

    def use(step: str) -> None:
        packages = device.machine._key_packages
        if step == "after request" and packages._upload:
            device.fault = lambda step: None
            for reference in list(packages._upload):
                packages.used(reference, server.now)

    device.fault = use
    device.connect()
    assert kept(device) == {}
    assert len(kept(device, last_resort=True)) == 4
    assert [each.published for each in kept(device, last_resort=True).values()] == 4 * [True]


def test_records_show_no_secret() -> None:
    _, device = made(supply=0)
    device.connect()
    leaf_key = memory_of(device).leaf_key
    assert leaf_key is not None
    assert leaf_key.key.hex() not in repr(leaf_key)
    package = memory_of(device).key_packages[current(device)]
    assert repr(package) == "OwnKeyPackage(0x0001, [secret])"
