"""One key for each message: order, bounds, and what is forgotten."""

from __future__ import annotations

import pytest

from parlour.codec import Writer, decode
from parlour.errors import Code, LimitError, ParlourError, UsageError
from parlour.mls.private import limits, secret_tree
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import EncryptionSecret
from parlour.mls.public.suites import DEFAULT_SUITE
from parlour.mls.public.types import LeafIndex

ROOT = b"r" * 32
ZERO, ONE = LeafIndex(0), LeafIndex(1)
APPLICATION = 1


def tree(leaves: int = 4) -> SecretTree:
    return SecretTree(DEFAULT_SUITE, leaves, EncryptionSecret(ROOT))


def record(secrets: SecretTree) -> bytes:
    writer = Writer()
    secrets.write(writer)
    return writer.data()


def refusal(secrets: SecretTree, leaf: LeafIndex, generation: int) -> Code:
    with pytest.raises(ParlourError) as caught:
        secrets.find(leaf, APPLICATION, generation)
    return caught.value.code


def test_finding_changes_nothing_and_accepting_forgets() -> None:
    secrets = tree()
    before = record(secrets)
    first = secrets.find(ZERO, APPLICATION, 2)
    assert record(secrets) == before
    assert first == secrets.find(ZERO, APPLICATION, 2)
    secrets.accept(first)
    after = record(secrets)
    assert ROOT not in after
    assert first.key not in after
    assert refusal(secrets, ZERO, 2) is Code.SESSION_REPLAYED
    skipped = secrets.find(ZERO, APPLICATION, 1)
    secrets.accept(skipped)
    assert refusal(secrets, ZERO, 1) is Code.SESSION_REPLAYED
    secrets.accept(secrets.find(ZERO, APPLICATION, 0))


def test_keys_found_together_are_accepted_in_any_order() -> None:
    """A staged commit waits while other messages are read."""
    expected = tree().find(ONE, APPLICATION, 0)
    secrets = tree()
    found = [secrets.find(ZERO, 0, 0), secrets.find(ONE, APPLICATION, 0), secrets.find(ZERO, 0, 1)]
    for used in reversed(found):
        secrets.accept(used)
    alone = tree()
    for leaf, kind, generation in ((ONE, APPLICATION, 0), (ZERO, 0, 0), (ZERO, 0, 1)):
        alone.accept(alone.find(leaf, kind, generation))
    assert record(secrets) == record(alone)
    assert (found[1].key, found[1].nonce) == (expected.key, expected.nonce)
    # The same key twice, both found before the first was accepted.
    again = [secrets.find(ONE, APPLICATION, 3) for _ in range(2)]
    for used in again:
        secrets.accept(used)
    assert refusal(secrets, ONE, 3) is Code.SESSION_REPLAYED


def test_jumps_are_bounded() -> None:
    secrets = tree()
    assert refusal(secrets, ZERO, limits.MAX_JUMP + 1) is Code.SESSION_JUMP
    assert refusal(secrets, ZERO, 2**32 - 1) is Code.SESSION_JUMP
    secrets.accept(secrets.find(ZERO, APPLICATION, limits.MAX_JUMP))


def test_skipped_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_tree, "MAX_SKIPPED", 3)
    monkeypatch.setattr(secret_tree, "MAX_SKIPPED_IN_EPOCH", 4)
    secrets = tree()
    secrets.accept(secrets.find(ZERO, APPLICATION, 5))
    assert refusal(secrets, ZERO, 1) is Code.SESSION_REPLAYED
    secrets.find(ZERO, APPLICATION, 2)
    secrets.accept(secrets.find(ONE, APPLICATION, 2))
    assert refusal(secrets, ZERO, 2) is Code.SESSION_REPLAYED
    secrets.find(ZERO, APPLICATION, 3)
    secrets.find(ONE, APPLICATION, 0)


def test_the_fullest_ratchets_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three senders with 6, 4 and 1 keys that wait, and room for 7: 3, 3 and 1 stay, the newest."""
    monkeypatch.setattr(secret_tree, "MAX_SKIPPED_IN_EPOCH", 7)
    secrets = tree()
    for leaf, generation in ((2, 1), (0, 6), (1, 4)):
        secrets.accept(secrets.find(LeafIndex(leaf), APPLICATION, generation))
    waiting = {
        leaf: [n for n in range(generation) if findable(secrets, LeafIndex(leaf), n)]
        for leaf, generation in ((0, 6), (1, 4), (2, 1))
    }
    assert waiting == {0: [3, 4, 5], 1: [1, 2, 3], 2: [0]}
    assert decode(record(secrets), lambda r: SecretTree.read(DEFAULT_SUITE, r))._skipped == 7
    secrets.accept(secrets.find(ZERO, APPLICATION, 4))
    assert secrets._skipped == 6


def findable(secrets: SecretTree, leaf: LeafIndex, generation: int) -> bool:
    try:
        secrets.find(leaf, APPLICATION, generation)
    except ParlourError:
        return False
    return True


@pytest.mark.parametrize("sent", [False, True])
def test_an_epoch_that_is_over_keeps_what_may_come_late(sent: bool) -> None:
    secrets, others = tree(), tree()
    secrets.accept(secrets.find(ONE, 0, 1))
    secrets.accept(secrets.find(ONE, APPLICATION, 2))
    if sent:
        secrets.precompute(ZERO, 2)
        secrets.next_key(ZERO, 0)
    secrets.retire(ZERO)
    # Where we sent nothing, there is nothing of ours that a thief could read.
    assert findable(secrets, ZERO, 3) is not sent
    with pytest.raises(ParlourError):
        secrets.find(ONE, 0, 0)
    assert findable(secrets, ONE, 1)
    again = decode(record(secrets), lambda r: SecretTree.read(DEFAULT_SUITE, r))
    for kept in (secrets, again):
        late = kept.find(LeafIndex(2), APPLICATION, 1)
        assert late.key == others.find(LeafIndex(2), APPLICATION, 1).key
        kept.accept(late)
        with pytest.raises(ParlourError):
            kept.find(LeafIndex(2), 0, 0)
        assert kept._skipped == 3
    assert record(again) == record(secrets)


def test_a_record_with_both_ratchets_of_every_leaf() -> None:
    secrets = tree(2)
    for leaf in (ZERO, ONE):
        secrets.accept(secrets.find(leaf, APPLICATION, 0))
    again = decode(record(secrets), lambda r: SecretTree.read(DEFAULT_SUITE, r))
    assert record(again) == record(secrets)
    assert len(again._ratchets) == 4


def test_our_own_keys() -> None:
    secrets, reader = tree(), tree()
    first = secrets.next_key(ONE, APPLICATION)
    assert first.generation == 0
    assert reader.find(ONE, APPLICATION, 0).key == first.key
    secrets.precompute(ONE, 3)
    secrets.precompute(ONE, 2)
    assert [secrets.next_key(ONE, APPLICATION).generation for _ in range(4)] == [1, 2, 3, 4]
    assert secrets.next_key(ONE, 0).generation == 0
    with pytest.raises(UsageError):
        secrets.precompute(ONE, limits.MAX_PRECOMPUTED + 1)


def test_an_epoch_runs_out_of_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_tree, "MAX_GENERATION", 1)
    secrets = tree()
    for _ in range(2):
        secrets.next_key(ZERO, APPLICATION)
    with pytest.raises(LimitError):
        secrets.next_key(ZERO, APPLICATION)


def test_secrets_do_not_show() -> None:
    secrets = tree()
    key = secrets.find(ZERO, APPLICATION, 1)
    own = secrets.next_key(ZERO, APPLICATION)
    shown = f"{secrets!r} {key!r} {own!r}"
    assert repr(key.key) not in shown
    assert repr(own.key) not in shown
    assert repr(ROOT) not in shown


def test_a_leaf_whose_secrets_are_gone() -> None:
    secrets = SecretTree(DEFAULT_SUITE, 4, None)
    assert refusal(secrets, ZERO, 0) is Code.SESSION_REPLAYED
