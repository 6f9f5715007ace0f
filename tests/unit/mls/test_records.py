"""Groups in parts: what each change writes, and that what is stored is the group."""

from __future__ import annotations

import pytest

from parlour.codec import Writer
from parlour.errors import Code, DecodeError, StorageError
from parlour.mls import CommitOptions, Group, GroupRecords, PendingCommit, dump_group
from parlour.mls.private import secret_tree
from parlour.mls.private.records import VERSION
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.proposals import ReInit, Remove
from parlour.mls.public.suites import DEFAULT_SUITE
from parlour.mls.public.tree.branches import read_branches
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere, refresh
from tests.mls_store import Store

Changes = dict[bytes, bytes | None]


def crowd(count: int, joining: int = 3) -> tuple[list[Person], PendingCommit]:
    """A group of many, of whom the first and the last few are here."""
    people = [Person(f"p{number}") for number in range(count)]
    first = people[0]
    first.create()
    bundles = [person.key_package() for person in people[1:]]
    pending = first.group.commit(
        NOW, adds=[bundle.key_package for bundle in bundles], random=first.random
    )
    first.group.merge(pending, NOW)
    for person, bundle in list(zip(people[1:], bundles, strict=True))[-joining:]:
        person.join(pending.welcome, bundle)
    return [first, *people[-joining:]], pending


def names(changes: Changes) -> set[bytes]:
    return {key.rstrip(b"\0")[:4] for key in changes}


def test_a_message_writes_little() -> None:
    (ada, bea, cid, dan), _ = crowd(70)
    store = Store(cid.group)
    everything = store.keep()
    assert store.keep() == {}
    first = bea.group.encrypt(b"first")
    cid.group.decrypt(first, NOW)
    # The first of a sender in an epoch takes secrets from far above it.
    assert set(store.keep()) == {key for key in store.data if key.startswith(b"keys")}
    cid.group.decrypt(bea.group.encrypt(b"second"), NOW)
    changes = store.keep()
    assert len(changes) == 1
    (written,) = changes.values()
    assert written is not None
    assert len(written) < 600
    whole = sum(len(value or b"") for value in everything.values())
    assert whole > 14_000
    # Beside it, where the secrets above are known already.
    cid.group.decrypt(dan.group.encrypt(b"neighbour"), NOW)
    assert len(store.keep()) == 1
    cid.group.encrypt(b"our own")
    assert len(store.keep()) == 1
    cid.group.decrypt(ada.group.encrypt(b"from afar"), NOW)
    assert len(store.keep()) == 2


def test_keys_that_were_passed_over_and_keys_made_ahead() -> None:
    (ada, bea, cid, _), _ = crowd(40)
    store = Store(cid.group)
    store.keep()
    messages = [bea.group.encrypt(str(number).encode()) for number in range(5)]
    cid.group.decrypt(messages[3], NOW)
    assert len([key for key in store.keep() if key[12:13] == b"s"]) == 1
    cid.group = store.restart()
    cid.group.decrypt(messages[4], NOW)
    assert len(store.keep()) == 1
    for number in (0, 2, 1):
        assert cid.group.decrypt(messages[number], NOW).data == str(number).encode()
        (key,) = store.keep()
    # The last one that waited takes its record along.
    assert key not in store.data
    cid.group.precompute(3)
    store.keep()
    cid.group = store.restart()
    ada.group.decrypt(cid.group.encrypt(b"made ahead"), NOW)
    (key,) = store.keep()
    assert store.data[key]
    for _ in range(2):
        cid.group.encrypt(b"and again")
    assert None in store.keep().values()


def test_a_commit_writes_the_path_and_forgets_old_keys() -> None:
    people, _ = crowd(100)
    _ada, bea, cid, _dan = people
    store = Store(cid.group)
    store.keep()
    for _ in range(7):
        late = bea.group.encrypt(b"late")
        bea_again = bea.group.encrypt(b"in time")
        cid.group.decrypt(bea_again, NOW)
        store.keep()
        refresh(people, 3)
        changes = store.keep()
        # Of the tree the committer's branch and what is above; of the last epoch, what is left.
        trees = {key for key in changes if key.startswith(b"tree")}
        assert trees == {b"tree\0\0\0\x06", b"treetop"}
        if b"tree\0\0\0\0" not in changes:
            cid.group = store.restart()
        assert cid.group.decrypt(late, NOW).data == b"late"
        store.keep()
    assert len([key for key in store.data if key.startswith(b"past")]) == 5
    cid.group.expire(NOW + 4_000)
    changes = store.keep()
    assert set(changes.values()) == {None}
    assert not [key for key in store.data if key.startswith(b"past")]
    check_agreement(people)


def test_a_tree_that_grows_and_shrinks() -> None:
    people, _ = crowd(20)
    ada, bea, cid, dan = people
    stores = [Store(person.group) for person in people]
    for store in stores:
        store.keep()
    newcomers = [Person(f"n{number}") for number in range(50)]
    bundles = [person.key_package() for person in newcomers]
    grown = ada.group.commit(NOW, adds=[bundle.key_package for bundle in bundles])
    stores[0].keep()
    ada.group = stores[0].restart()
    assert ada.group.pending is not None
    merge_everywhere(ada, ada.group.pending, [bea, cid, dan])
    for store in stores:
        store.keep()
    removes = [index for index, leaf in ada.group.members if index >= 20]
    shrunk = ada.group.commit(NOW, removes=removes, options=CommitOptions(group_info=True))
    stores[0].keep()
    merge_everywhere(ada, shrunk, [bea, cid, dan])
    assert ada.group.current.tree.leaf_count == 32
    for store, person in zip(stores, people, strict=True):
        assert None in store.keep().values()
        person.group = store.restart()
    refresh(people)
    check_agreement(people)
    assert grown.welcome


def test_proposals_updates_and_the_end() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    store = Store(bea.group)
    store.keep()
    update = bea.group.propose_update(NOW)
    remove = bea.group.propose(Remove(cid.group.own_leaf), NOW)
    assert len(store.keep()) == 3
    again = cid.group.propose_update(NOW)
    for person in (ada, cid):
        person.group.process(update, NOW)
        person.group.process(remove, NOW)
    for person in (ada, bea):
        person.group.process(again, NOW)
    assert list(store.keep()) == [b"proposal\0\0\0\x03"]
    bea.group = store.restart()
    merge_everywhere(ada, ada.group.commit(NOW), [bea])
    assert names(store.keep()) >= {b"head", b"keys", b"past", b"prop", b"tree", b"upda"}
    end = ReInit(b"next", 1, 1, Extensions())
    merge_everywhere(ada, ada.group.commit(NOW, proposals=[end]), [bea])
    store.keep()
    bea.group = store.restart()
    assert bea.group.member.reinit == end


def test_who_was_removed_keeps_what_comes_late() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    store = Store(cid.group)
    store.keep()
    late = bea.group.encrypt(b"late")
    merge_everywhere(ada, ada.group.commit(NOW, removes=[cid.group.own_leaf]), [bea, cid])
    store.keep()
    cid.group = store.restart()
    assert not cid.group.is_active
    assert cid.group.decrypt(late, NOW).data == b"late"
    store.keep()
    cid.group.expire(NOW + 4_000)
    store.keep()
    assert set(store.data) == {b"head", b"tree\0\0\0\0"}


def test_nothing_that_was_used_up_is_stored() -> None:
    (_ada, bea, cid, _), _ = crowd(40)
    store = Store(cid.group)
    store.keep()
    message = bea.group.encrypt(b"once")
    thief = store.load().group
    assert thief.decrypt(message, NOW).data == b"once"
    cid.group.decrypt(message, NOW)
    store.keep()
    thief = store.load().group
    with pytest.raises(Exception, match="replayed"):
        thief.decrypt(message, NOW)
    before = set(store.data.values())
    pending = cid.group.commit(NOW)
    cid.group.merge(pending, NOW)
    store.keep()
    assert not {key for key in store.data if key.startswith((b"head", b"pending"))} & before


def test_keys_are_dropped_from_who_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_tree, "MAX_SKIPPED_IN_EPOCH", 5)
    (ada, bea, cid, dan), _ = crowd(40)
    store = Store(cid.group)
    store.keep()
    for person, count in ((bea, 5), (dan, 4)):
        for _ in range(count):
            message = person.group.encrypt(b"x")
        cid.group.decrypt(message, NOW)
        store.keep()
    assert ada.group.epoch == 1


def test_records_that_do_not_belong_together() -> None:
    people, _ = crowd(40)
    _ada, _, cid, _ = people
    store = Store(cid.group)
    store.keep()
    before = dict(store.data)
    refresh(people)
    store.keep()

    def broken(records: dict[bytes, bytes]) -> Code:
        with pytest.raises((StorageError, DecodeError)) as caught:
            GroupRecords.load(records, OPEN_POLICY)
        return caught.value.code

    assert broken({}) is Code.STORE_BROKEN
    assert broken({**store.data, b"treetop": before[b"treetop"]}) is Code.STORE_BROKEN
    assert broken({**store.data, b"head": before[b"head"]}) is Code.STORE_BROKEN
    without = {key: value for key, value in store.data.items() if key != b"tree\0\0\0\0"}
    assert broken(without) is Code.STORE_BROKEN
    head = store.data[b"head"]
    assert broken({**store.data, b"head": bytes([VERSION + 1]) + head[1:]}) is Code.DECODE_VERSION
    assert broken({**store.data, b"head": head[:-1]}) is Code.DECODE_TRUNCATED
    with pytest.raises(StorageError):
        read_branches(DEFAULT_SUITE, 2, {b"top": b"\0"})
    orphan = {b"s\0\0\0\x01\x01": Writer().uint32(0).opaque(b"k").opaque(b"n").data()}
    with pytest.raises(StorageError):
        SecretTree.of_parts(DEFAULT_SUITE, 4, orphan, retired=False)


def test_a_group_of_one() -> None:
    (ada,) = group_of("ada")
    store = Store(ada.group)
    store.keep()
    ada.group.encrypt(b"to nobody")
    (key,) = store.keep()
    ada.group.merge(ada.group.commit(NOW), NOW)
    # Nobody else was there whose messages could come late.
    assert store.keep()[key] is None


def test_what_it_shows() -> None:
    (ada,) = group_of("ada")
    records = GroupRecords(ada.group)
    records.take_changes()
    assert repr(records) == f"GroupRecords({ada.group!r}, {len(records.keys)} records)"
    again = GroupRecords.load(
        {key: value for key, value in Store(ada.group).keep().items() if value is not None},
        OPEN_POLICY,
    )
    assert isinstance(again.group, Group)
    assert dump_group(again.group) == dump_group(ada.group)
