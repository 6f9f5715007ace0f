"""Devices that are to be added to groups, and the key packages to add them by.

Key packages are taken in batches, verified one by one, and kept in memory until they are used;
each is good for one commit. What the server says beside them is not believed: a package must be
signed, in its lifetime, able to follow our groups, and certified by the very device that it is
asked for, whose key stands on its account's verified list. Times (`now`) are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from parlour.conversation.events import KeyPackageRefused
from parlour.conversation.leaf_certificates import OneDevice, certificate_of
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, SecurityStop, error
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.policy import LifetimeCheck, Policy
from parlour.mls.public.suites import find_suite
from parlour.mls.public.validation.key_packages import check_key_package
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.roster import EXTENSION_TYPE
from parlour.wire.groups import MAX_BATCH, FetchKeyPackages, FoundKeyPackages
from parlour.wire.kinds import Kind

FETCH_KEY_PACKAGES: Final = "fetch-key-packages"
# How often a package that is not good is fetched for one device, before the device is named.
MAX_REFUSED: Final = 2
# One that runs out within a day (seconds) is not kept: who takes it out must find it good.
_MARGIN: Final = 86_400

Target: TypeAlias = tuple[bytes, bytes]
"""Account and device. Two accounts may name one device in their lists; it says whose it is."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What there is, by device id: a key package, or the reason why there is none for now.

    `KEY_PACKAGE_NONE`: the device has published none of that suite. `KEY_PACKAGE_INVALID` and
    `KEY_PACKAGE_EXPIRED`: the server gave one twice that is not good.
    """

    packages: dict[bytes, KeyPackage]
    missing: dict[bytes, Code]


@dataclass(slots=True)
class _OfSuite:
    """What is known of the devices to be added to groups of one suite."""

    wanted: dict[Target, None] = field(default_factory=dict)
    packages: dict[Target, KeyPackage] = field(default_factory=dict)
    missing: dict[Target, Code] = field(default_factory=dict)
    refused: dict[Target, int] = field(default_factory=dict)


class KeyPackageTargets:
    """Gets key packages for devices of verified lists."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._suites: dict[int, _OfSuite] = {}

    # --- Needs ---------------------------------------------------------------------------

    def maintain(self, now: int) -> None:
        """Drop what runs out soon: with each connection, and daily."""
        for of_suite in self._suites.values():
            for target, package in list(of_suite.packages.items()):
                if not _is_current(package, now // 1000 + _MARGIN):
                    del of_suite.packages[target]

    def want(self, suite: int, targets: Iterable[Target]) -> None:
        """Fetch a key package for each of these that has none here.

        Those that are missing are asked for again once `ready` has said so.
        """
        of_suite = self._of(suite)
        for target in targets:
            if target not in of_suite.packages and target not in of_suite.missing:
                of_suite.wanted[target] = None

    def left(self, suite: int) -> int:
        """How many key packages of that suite are still asked for."""
        return len(self._of(suite).wanted)

    def ready(self, suite: int, targets: Sequence[Target]) -> Ready | None:
        """What there is for these, or None while some are still asked for."""
        of_suite = self._of(suite)
        if any(target in of_suite.wanted for target in targets):
            return None
        found, missing = Ready({}, {}), of_suite.missing
        for target in targets:
            package = of_suite.packages.get(target)
            if package is None:
                found.missing[target[1]] = missing.pop(target, Code.KEY_PACKAGE_NONE)
            else:
                found.packages[target[1]] = package
        return found

    def used(self, device_ids: Iterable[bytes]) -> None:
        """A commit was made with the key packages of these devices."""
        gone = set(device_ids)
        for of_suite in self._suites.values():
            for target in [each for each in of_suite.packages if each[1] in gone]:
                del of_suite.packages[target]

    def supports_all(self, suite: int, targets: Iterable[Target]) -> bool:
        """Whether a key package of that suite was found for each of these; see `ready` before."""
        packages = self._of(suite).packages
        return all(target in packages for target in targets)

    def requests(self) -> list[ServerRequest]:
        """One batch of each suite at a time."""
        return [
            ServerRequest(
                (FETCH_KEY_PACKAGES, suite.to_bytes(2)),
                Kind.FETCH_KEY_PACKAGES,
                FetchKeyPackages(suite=suite, device_ids=_batch(of_suite)),
            )
            for suite, of_suite in self._suites.items()
            if of_suite.wanted
        ]

    def _of(self, suite: int) -> _OfSuite:
        return self._suites.setdefault(suite, _OfSuite())

    # --- Answers -------------------------------------------------------------------------

    def answered(self, asked: FetchKeyPackages, answer: FoundKeyPackages, now: int) -> None:
        """Take the answer to a request; raises `SERVER_MISBEHAVED` for what is no answer to it."""
        looked_for = set(asked.device_ids[: answer.asked])
        found = {package.device_id: package.data for package in answer.packages}
        if not looked_for or len(found) != len(answer.packages) or not found.keys() <= looked_for:
            raise error(Code.SERVER_MISBEHAVED, "key packages that nobody asked for")
        of_suite = self._of(asked.suite)
        for target in [each for each in of_suite.wanted if each[1] in looked_for]:
            data = found.get(target[1])
            if data is None:
                self._give_up(of_suite, target, Code.KEY_PACKAGE_NONE)
                continue
            try:
                of_suite.packages[target] = self.verified(asked.suite, target, data, now // 1000)
            except ParlourError as problem:
                self._refuse(of_suite, target, problem.code)
            else:
                del of_suite.wanted[target]
                of_suite.refused.pop(target, None)

    def _give_up(self, of_suite: _OfSuite, target: Target, reason: Code) -> None:
        del of_suite.wanted[target]
        of_suite.refused.pop(target, None)
        of_suite.missing[target] = reason

    def _refuse(self, of_suite: _OfSuite, target: Target, reason: Code) -> None:
        """Ask once more: the device may have just renewed them."""
        of_suite.refused[target] = of_suite.refused.get(target, 0) + 1
        if of_suite.refused[target] < MAX_REFUSED:
            return
        if reason is not Code.KEY_PACKAGE_EXPIRED:
            reason = Code.KEY_PACKAGE_INVALID
        self._give_up(of_suite, target, reason)
        self._memory.events.append(KeyPackageRefused(*target, reason))

    def verified(self, suite: int, target: Target, data: bytes, now: int) -> KeyPackage:
        """Decode and verify one, or raise what is wrong with it. `now` is in seconds."""
        account_id, device_id = target
        contact = self._memory.contacts.get(account_id)
        device = None if contact is None else contact.identity(device_id)
        if device is None:
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "the device is not on the list")
        message = decode_message(data)
        if not isinstance(message, KeyPackageMessage):
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "another message")
        package = message.key_package
        if not package.leaf_node.capabilities.supports_extension(EXTENSION_TYPE):
            raise SecurityStop(Code.KEY_PACKAGE_INVALID, "without support of rosters")
        if not _is_current(package, now):
            raise error(Code.KEY_PACKAGE_EXPIRED)
        # Its signatures are met again when a commit is made of it.
        memo = self._memory.groups.policy.memo
        policy = Policy(OneDevice(device, now), lifetimes=LifetimeCheck.ADDS, memo=memo)
        validator = LeafValidator(find_suite(suite), policy, now, b"", sending=True)
        check_key_package(validator, package)
        validator.finish()
        return package


def _batch(of_suite: _OfSuite) -> list[bytes]:
    """The devices of one request."""
    return list(dict.fromkeys(device_id for _, device_id in of_suite.wanted))[:MAX_BATCH]


def _is_current(package: KeyPackage, now: int) -> bool:
    """Whether neither the package nor the certificate in it has run out, at `now` in seconds."""
    lifetime = package.leaf_node.content.lifetime
    certificate = certificate_of(package.leaf_node.credential)
    return lifetime is not None and lifetime.covers(now) and not certificate.has_expired(now)
