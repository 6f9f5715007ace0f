"""Devices that are to be added to groups, and the key packages to add them by.

Key packages are taken in batches, verified one by one, and kept in memory until they are used;
each is good for one commit. What the server says beside them is not believed: a package must be
signed, in its lifetime, able to follow our groups, and certified by the very device that it is
asked for, whose key stands on its account's verified list. Times (`now`) are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from parlour.conversation.events import KeyPackageRefused
from parlour.conversation.leaf_certificates import OneDevice, certificate_of
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, ParlourError, SecurityStop, error
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.policy import LifetimeCheck, Policy
from parlour.mls.public.suites import find_suite
from parlour.mls.public.validation.key_packages import check_key_package
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.roster import EXTENSION_TYPE
from parlour.wire.groups import MAX_BATCH, FetchKeyPackages, FoundKeyPackage, FoundKeyPackages
from parlour.wire.kinds import Kind

FETCH_KEY_PACKAGES: Final = "fetch-key-packages"
# How often a package that is not good is fetched for one device, before its name is told.
MAX_REFUSED: Final = 2
# Milliseconds until a device that had none, or no good one, is asked for again.
LEFT_OUT_FOR: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Ready:
    """What there is for some devices, by their ids: a key package, or the reason for none.

    Both have to be looked at: the devices of `left_out` can't be added now. Those that are
    `waiting` are still asked for.
    """

    packages: dict[bytes, KeyPackage]
    left_out: dict[bytes, Code]
    waiting: frozenset[bytes]


@dataclass(slots=True)
class _OfSuite:
    """What is known of the devices to be added to groups of one suite."""

    wanted: dict[DeviceIdentity, None] = field(default_factory=dict)
    packages: dict[DeviceIdentity, KeyPackage] = field(default_factory=dict)
    # Why there is none, and since when.
    left_out: dict[DeviceIdentity, tuple[Code, int]] = field(default_factory=dict)
    refused: dict[DeviceIdentity, int] = field(default_factory=dict)


class Newcomers:
    """Gets key packages for devices of verified lists."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._suites: dict[int, _OfSuite] = {}

    # --- Needs ---------------------------------------------------------------------------

    def connected(self) -> None:
        """A device without key packages may have published some by now."""
        for of_suite in self._suites.values():
            of_suite.left_out.clear()

    def want(self, suite: int, devices: Iterable[DeviceIdentity], now: int) -> None:
        """Fetch a key package for each of these devices that has none here."""
        of_suite = self._suites.setdefault(suite, _OfSuite())
        for device in devices:
            if device not in of_suite.packages and not _is_left_out(of_suite, device, now):
                of_suite.wanted[device] = None

    def ready(self, suite: int, devices: Iterable[DeviceIdentity], now: int) -> Ready:
        """What there is; nothing is asked for by that, and nothing used up."""
        of_suite = self._suites.setdefault(suite, _OfSuite())
        packages: dict[bytes, KeyPackage] = {}
        left_out: dict[bytes, Code] = {}
        waiting = set()
        for device in devices:
            package = of_suite.packages.get(device)
            if package is not None and _is_current(package, now):
                packages[device.device_id] = package
                continue
            if package is not None:
                # It lay here for too long.
                del of_suite.packages[device]
            if device in of_suite.wanted:
                waiting.add(device.device_id)
            else:
                reason, _ = of_suite.left_out.get(device, (Code.KEY_PACKAGE_NONE, now))
                left_out[device.device_id] = reason
        return Ready(packages, left_out, frozenset(waiting))

    def take(self, suite: int, devices: Iterable[DeviceIdentity], now: int) -> Ready:
        """The same, and the packages are used up: for a commit that adds these devices."""
        asked = list(devices)
        ready = self.ready(suite, asked, now)
        for device in asked:
            self._suites[suite].packages.pop(device, None)
        return ready

    def supports_all(self, suite: int, devices: Iterable[DeviceIdentity]) -> bool:
        """Whether a key package of that suite was found for each of these devices."""
        packages = self._suites.setdefault(suite, _OfSuite()).packages
        return all(device in packages for device in devices)

    def requests(self) -> list[ServerRequest]:
        """One batch of each suite at a time."""
        return [
            ServerRequest(
                (FETCH_KEY_PACKAGES, suite.to_bytes(2)),
                Kind.FETCH_KEY_PACKAGES,
                FetchKeyPackages(suite=suite, device_ids=device_ids),
            )
            for suite, of_suite in self._suites.items()
            if (device_ids := _batch(of_suite))
        ]

    # --- Answers -------------------------------------------------------------------------

    def answered(self, asked: FetchKeyPackages, answer: FoundKeyPackages, now: int) -> None:
        """Take the answer to a request; raises `SERVER_MISBEHAVED` for what is no answer to it."""
        looked_for = asked.device_ids[: answer.asked]
        found = {package.device_id: package for package in answer.packages}
        if (
            not looked_for
            or len(found) != len(answer.packages)
            or not found.keys() <= {*looked_for}
        ):
            raise error(Code.SERVER_MISBEHAVED, "key packages that nobody asked for")
        of_suite = self._suites.setdefault(asked.suite, _OfSuite())
        settled = set(looked_for)
        for device in [each for each in of_suite.wanted if each.device_id in settled]:
            package = found.get(device.device_id)
            if package is None:
                del of_suite.wanted[device]
                of_suite.left_out[device] = (Code.KEY_PACKAGE_NONE, now)
            else:
                self._take(of_suite, asked.suite, device, package, now)

    def _take(
        self,
        of_suite: _OfSuite,
        suite: int,
        device: DeviceIdentity,
        found: FoundKeyPackage,
        now: int,
    ) -> None:
        try:
            package = self._verified(suite, device, found.data, now)
        except ParlourError as problem:
            self._refuse(of_suite, device, problem.code, now)
            return
        del of_suite.wanted[device]
        of_suite.refused.pop(device, None)
        of_suite.packages[device] = package

    def _refuse(self, of_suite: _OfSuite, device: DeviceIdentity, reason: Code, now: int) -> None:
        """Ask once more: the device may have renewed them, or the answer been mixed up."""
        of_suite.refused[device] = of_suite.refused.get(device, 0) + 1
        if of_suite.refused[device] < MAX_REFUSED:
            return
        del of_suite.wanted[device], of_suite.refused[device]
        expired = reason is Code.KEY_PACKAGE_EXPIRED
        told = reason if expired else Code.KEY_PACKAGE_INVALID
        of_suite.left_out[device] = (told, now)
        self._memory.events.append(KeyPackageRefused(device.account_id, device.device_id, told))

    def _verified(self, suite: int, device: DeviceIdentity, data: bytes, now: int) -> KeyPackage:
        """Decode and verify one, or raise what is wrong with it."""
        contact = self._memory.contacts.get(device.account_id)
        if contact is None or device not in contact.identities():
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "the device is not on the list any more")
        message = decode_message(data)
        if not isinstance(message, KeyPackageMessage):
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "another message")
        package = message.key_package
        leaf = package.leaf_node
        if not leaf.capabilities.supports_extension(EXTENSION_TYPE):
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "without support of rosters")
        if not _is_current(package, now):
            raise error(Code.KEY_PACKAGE_EXPIRED)
        seconds = now // 1000
        policy = Policy(OneDevice(device, seconds), lifetimes=LifetimeCheck.ADDS)
        validator = LeafValidator(find_suite(suite), policy, seconds, b"", sending=True)
        check_key_package(validator, package)
        validator.finish()
        return package


def _batch(of_suite: _OfSuite) -> list[bytes]:
    """The devices of one request. Two accounts may name one device in their lists."""
    device_ids = dict.fromkeys(device.device_id for device in of_suite.wanted)
    return list(device_ids)[:MAX_BATCH]


def _is_left_out(of_suite: _OfSuite, device: DeviceIdentity, now: int) -> bool:
    _, since = of_suite.left_out.get(device, (None, None))
    return since is not None and since <= now < since + LEFT_OUT_FOR


def _is_current(package: KeyPackage, now: int) -> bool:
    """Whether neither the package nor the certificate in it has run out."""
    lifetime = package.leaf_node.content.lifetime
    certificate = certificate_of(package.leaf_node.credential)
    in_time = lifetime is not None and lifetime.covers(now // 1000)
    return in_time and not certificate.has_expired(now // 1000)
