"""Key packages that were given out, verified before the commit that holds them comes."""

from __future__ import annotations

from unittest import mock

import pytest

from parlour.mls.public.framing.messages import KeyPackageMessage, encode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.validation import signatures
from parlour.server.groups import ahead
from parlour.server.store.records import TakenKeyPackage
from parlour.wire.groups import FoundKeyPackage
from tests.served_groups import Device, Room, Services

SUITE = 1


@pytest.fixture(autouse=True)
def even_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "FEW", 1)


def taken(device: Device, package: KeyPackage) -> TakenKeyPackage:
    data = encode_message(KeyPackageMessage(package))
    found = FoundKeyPackage(device.id, False, data)
    return TakenKeyPackage(device.account, found, None)


def known(services: Services) -> int:
    """How many signatures the service remembers."""
    return len(services.groups._handshaking._memo._verified)


async def test_a_commit_finds_its_key_packages_verified(services: Services) -> None:
    ada, bea, carl = await services.devices("ada", "bea", "carl")
    room = await Room.of(services, ada)
    packages, founding = [each.key_package() for each in (bea, carl)], known(services)
    pairs = zip((bea, carl), packages, strict=True)
    services.groups.ahead.given_out(SUITE, [taken(*pair) for pair in pairs])
    await services.groups.ahead.finished()
    # Of each its leaf's and its own, beside what founding took.
    assert known(services) - founding == 4
    checked: list[int] = []
    first_broken = signatures._first_broken

    def counted(checks: list[signatures.SignatureCheck]) -> signatures.SignatureCheck | None:
        checked.append(len(checks))
        return first_broken(checks)

    request = room.commit(ada, bea.added(), carl.added(), adds=packages)
    with mock.patch.object(signatures, "_first_broken", counted):
        handled = await services.groups.handshake(ada.grant, request)
    assert handled.seq
    # The new leaf in the path, and nothing of those who come.
    assert sum(checked) == 1


async def test_what_is_no_key_package_is_left_to_the_commit(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    stranger = Device("nobody")
    wrong = FoundKeyPackage(bea.id, False, b"rubbish")
    message = taken(bea, bea.key_package()).package.data[:-1] + b"\x00"
    services.groups.ahead.given_out(
        SUITE,
        [
            TakenKeyPackage(bea.account, wrong, None),
            TakenKeyPackage(bea.account, FoundKeyPackage(bea.id, False, message), None),
            taken(stranger, stranger.key_package()),
        ],
    )
    await services.groups.ahead.finished()
    assert ada.account != bea.account


async def test_few_and_too_many_are_left_to_their_commits(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ada,) = await services.devices("ada")
    one = [taken(ada, ada.key_package())]
    monkeypatch.setattr(ahead, "FEW", 2)
    services.groups.ahead.given_out(SUITE, one)
    await services.groups.ahead.finished()
    assert not known(services)
    for _ in range(ahead.MAX_WAITING + 1):
        services.groups.ahead.given_out(SUITE, 2 * one)
    assert len(services.groups.ahead._waiting) == ahead.MAX_WAITING
    await services.groups.ahead.finished()
    assert known(services)
