"""Rosters that machines of one process share."""

from __future__ import annotations

import pytest

from parlour.conversation.groups import sharing
from parlour.conversation.groups.sharing import SharedGroups
from parlour.errors import Code, ParlourError
from parlour.mls.public.suites import CipherSuiteId, find_suite
from parlour.mls.public.tree.extension import encode_tree
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster import Kind, Role
from parlour.roster.device_signature import nobody_known
from tests.mls_people import Person
from tests.rosters import ANNA, BEA, CARL, added, entry_of, find_key, found


def other_key(account: bytes, device: bytes) -> Ed25519PublicKey | None:
    """A list on which everybody has Carl's key."""
    return CARL.key.public_key


def test_an_entry_is_verified_once_for_all() -> None:
    shared, roster = SharedGroups(), found()
    data = entry_of(roster, ANNA, added(BEA)).encode()
    after = shared.extend(roster, data, find_key)
    assert after.state.members.keys() == {ANNA.account, BEA.account}
    assert shared.extend(roster, data, find_key) is after


@pytest.mark.parametrize("keys", [nobody_known, other_key])
def test_who_knows_another_signer_finds_out_alone(keys: object) -> None:
    shared, roster = SharedGroups(), found()
    data = entry_of(roster, ANNA, added(BEA)).encode()
    shared.extend(roster, data, find_key)
    with pytest.raises(ParlourError) as refused:
        shared.extend(roster, data, keys)  # type: ignore[arg-type]
    assert refused.value.code is Code.ROSTER_INVALID


def test_an_entry_to_another_roster_is_another_matter() -> None:
    shared, one = SharedGroups(), found()
    other = found(Kind.GROUP, added(CARL, Role.ADMIN))
    data = entry_of(one, ANNA, added(BEA)).encode()
    shared.extend(one, data, find_key)
    with pytest.raises(ParlourError):
        shared.extend(other, data, find_key)


def test_a_state_is_taken_up_once_for_all() -> None:
    shared, roster = SharedGroups(), found(Kind.GROUP, added(BEA))
    parts = (roster.genesis, roster.state.encode(), roster.head.encode())
    taken = shared.of_state(*parts, find_key)
    assert taken == roster
    assert shared.of_state(*parts, find_key) is taken
    # Who knows nobody takes it as well, as ever; by itself.
    assert shared.of_state(*parts, nobody_known) is not taken


def test_a_tree_is_read_once_for_all() -> None:
    shared, suite = SharedGroups(), find_suite(CipherSuiteId.X25519_AES128GCM_SHA256_ED25519)
    one, other = (Person(name, suite).create().tree() for name in ("one", "other"))
    tree = shared.read_tree(suite, one)
    assert shared.read_tree(suite, bytes(bytearray(one))) is tree
    assert encode_tree(shared.read_tree(suite, other)) == other
    assert shared.read_tree(suite, one) is not tree
    under_another = find_suite(CipherSuiteId.X25519_CHACHA20POLY1305_SHA256_ED25519)
    assert shared.read_tree(under_another, one).suite == under_another


def test_old_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MAX_ROSTERS", 1)
    shared, roster = SharedGroups(), found()
    data = entry_of(roster, ANNA, added(BEA)).encode()
    after = shared.extend(roster, data, find_key)
    shared.extend(after, entry_of(after, ANNA, added(CARL)).encode(), find_key)
    assert shared.extend(roster, data, find_key) is not after
