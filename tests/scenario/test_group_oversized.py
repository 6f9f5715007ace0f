"""Commits and Welcomes of a hostile member that are larger than anything has to be.

Each bound is met from above: it is told of, and the group goes on; what just fits is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from parlour.codec import decode
from parlour.conversation.events import CommitRefused, GroupJoined, GroupRepairing
from parlour.errors import Code
from parlour.mls.private import group as private_group
from parlour.mls.private.committing import NewCommit
from parlour.mls.private.secrets import JoinerSecret
from parlour.mls.private.welcoming import make_welcome
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.messages import encode_message
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.limits import MAX_EXTENSIONS, MAX_HASH, MAX_PSKS
from parlour.mls.public.proposals import GroupContextExtensions, PreSharedKey, Proposal
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.welcome import Welcome
from parlour.primitives.aead import TAG_SIZE
from parlour.primitives.random import Random
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.limits import (
    MAX_GROUP_INFO,
    MAX_HANDSHAKE_BODY,
    MAX_ROSTER_ENTRY,
    MAX_ROSTER_PER_COMMIT,
    MAX_WISH,
    MAX_WISHES,
)
from tests import mls_forger
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import check_goes_on, made_by, put

# --- Commits ---------------------------------------------------------------------------------

BODIES: Final[dict[str, dict[str, Any]]] = {
    "MAX_HANDSHAKE_BODY": {"commit": bytes(MAX_HANDSHAKE_BODY + 1)},
    "MAX_ROSTER_ENTRY": {"roster": [bytes(MAX_ROSTER_ENTRY + 1)]},
    "MAX_ROSTER_PER_COMMIT": {"roster": [b"?"] * (MAX_ROSTER_PER_COMMIT + 1)},
    "MAX_GROUP_INFO": {"welcome": bytes(MAX_GROUP_INFO + 1)},
    "MAX_WISH": {"wishes": [bytes(MAX_WISH + 1)]},
    "MAX_WISHES": {"wishes": [b"?"] * (MAX_WISHES + 1)},
}


def check_refused(party: Party, reason: Code) -> None:
    """Both others name it, and begin again without the commit."""
    alice, bob, mallory = party.devices
    mallory.disconnect()
    party.settle(2)
    for device in (alice, bob):
        told = heard(device, CommitRefused)
        assert [(each.by, each.reason) for each in told] == [(mallory.machine.account_id, reason)]
    check_goes_on(party, alice, bob)
    mallory.connect()
    party.settle(10, 10_000)
    party.check_together()


@pytest.mark.parametrize("bound", BODIES)
def test_a_commit_with_too_much_beside_it(bound: str) -> None:
    party = Party("alice", "bob", "mallory")
    mallory = party.devices[2]
    commit = chat_of(mallory, party).live().commit(party.server.now // 1000).commit
    chat_of(mallory, party).live().clear_pending()
    body = replace(wire.CommitBody(0, commit, [], b""), **BODIES[bound])
    put(party, mallory, made_by(party, mallory, body))
    check_refused(party, Code.DECODE_MALFORMED)


def many_extensions() -> list[Proposal]:
    items = [Extension(0x4000 + number, b"") for number in range(MAX_EXTENSIONS + 1)]
    return [GroupContextExtensions(Extensions.of(items))]


def a_long_nonce() -> list[Proposal]:
    return [PreSharedKey(PreSharedKeyId(ExternalPskId(b"psk"), bytes(MAX_HASH + 1)))]


def many_psks() -> list[Proposal]:
    return [PreSharedKey(each) for each in psk_ids(MAX_PSKS + 1)]


def psk_ids(count: int) -> list[PreSharedKeyId]:
    return [PreSharedKeyId(ExternalPskId(each.to_bytes(2)), bytes(32)) for each in range(count)]


@pytest.mark.parametrize(
    ("oversized", "reason"),
    [
        (many_extensions, Code.DECODE_OVERSIZED),
        (a_long_nonce, Code.DECODE_OVERSIZED),
        (many_psks, Code.LIMIT_COUNT),
    ],
)
def test_a_commit_with_too_much_in_it(
    oversized: Callable[[], list[Proposal]], reason: Code
) -> None:
    """Signed and tagged as it should be."""
    party = Party("alice", "bob", "mallory")
    mallory = party.devices[2]
    current = chat_of(mallory, party).live().current
    forger: Any = SimpleNamespace(
        group=SimpleNamespace(current=current), suite=current.suite, identity=current.identity
    )
    commit = encode_message(mls_forger.commit(forger, *oversized()))
    put(party, mallory, made_by(party, mallory, wire.CommitBody(0, commit, [], b"")))
    check_refused(party, reason)


# --- Welcomes --------------------------------------------------------------------------------

Spoil = Callable[[NewCommit, GroupInfo, int], tuple[NewCommit, bytes]]
"""What a Welcome is made of, beyond its bound by so much."""


def signed_again(commit: NewCommit, info: GroupInfo, *more: Extension) -> bytes:
    """A GroupInfo with more extensions."""
    return GroupInfo.sign(
        commit.epoch.suite,
        commit.epoch.identity.signer,
        info.group_context,
        Extensions.of([*info.extensions.items, *more]),
        info.confirmation_tag,
        info.signer,
    ).encoded


def with_extensions(commit: NewCommit, info: GroupInfo, beyond: int) -> tuple[NewCommit, bytes]:
    count = MAX_EXTENSIONS - len(info.extensions.items) + beyond
    more = (Extension(0x4000 + number, b"") for number in range(count))
    return commit, signed_again(commit, info, *more)


def with_a_long_extension(
    commit: NewCommit, info: GroupInfo, beyond: int
) -> tuple[NewCommit, bytes]:
    """So long that what is sealed for all is of the size that a commit has room for."""
    short = len(signed_again(commit, info, Extension(0x4000, bytes(1 << 14))))
    size = MAX_GROUP_INFO - TAG_SIZE - short + (1 << 14) + beyond
    # From 16,384 bytes on, a length takes four bytes.
    return commit, signed_again(commit, info, Extension(0x4000, bytes(size)))


def with_psks(commit: NewCommit, info: GroupInfo, beyond: int) -> tuple[NewCommit, bytes]:
    changes = replaced(commit.changes, psks=tuple(psk_ids(MAX_PSKS + beyond)))
    return replaced(commit, changes=changes), info.encoded


def with_a_long_secret(commit: NewCommit, info: GroupInfo, beyond: int) -> tuple[NewCommit, bytes]:
    return replaced(commit, joiner_secret=JoinerSecret(bytes(MAX_HASH + beyond))), info.encoded


@contextmanager
def welcoming(spoil: Spoil, beyond: int) -> Iterator[None]:
    """Welcomes that are made in here are of that size."""

    def make(commit: NewCommit, group_info: bytes, random: Random) -> Welcome:
        changed, info = spoil(commit, decode(group_info, GroupInfo.read), beyond)
        return make_welcome(changed, info, random)

    with patch.object(private_group, "make_welcome", make):
        yield


def bring_in(party: Party, spoil: Spoil, beyond: int) -> MemoryDevice:
    """Mallory adds dave by such a Welcome."""
    mallory, dave = party.devices[0], party.outsider("dave")
    with welcoming(spoil, beyond):
        mallory.machine.group_add(party.group, [mallory.meet("dave")], party.server.now)
        mallory.settle()
    dave.pull()
    party.devices.append(dave)
    return dave


@pytest.mark.parametrize("spoil", [with_extensions, with_a_long_extension])
def test_a_welcome_that_just_fits(spoil: Spoil) -> None:
    party = Party("mallory", "alice")
    dave = bring_in(party, spoil, beyond=0)
    party.settle()
    assert heard(dave, GroupJoined)
    assert not heard(dave, GroupRepairing)
    dave.machine.accept_group(party.group, party.server.now)
    check_goes_on(party, *party.devices)


@pytest.mark.parametrize("spoil", [with_extensions, with_psks, with_a_long_secret])
def test_a_welcome_that_is_too_large_inside(spoil: Spoil) -> None:
    """Nobody but dave sees it; members take him out and in again."""
    party = Party("mallory", "alice")
    dave = bring_in(party, spoil, beyond=1)
    assert dave.machine.counters["welcome.refused"] == 1
    assert [each.reason for each in heard(dave, GroupRepairing)] == ["welcome"]
    assert not heard(dave, GroupJoined)
    party.settle(30)
    (joined,) = heard(dave, GroupJoined)
    assert joined.confirmed
    dave.machine.accept_group(party.group, party.server.now)
    check_goes_on(party, *party.devices)
