"""Groups as bytes and back, in every state that they can be in."""

from __future__ import annotations

import pytest

from parlour.codec import Reader, Writer
from parlour.errors import Code, DecodeError, ParlourError, StorageError, UsageError
from parlour.mls import (
    ApplicationMessage,
    ExternalPsk,
    Group,
    KeyPackageBundle,
    PskStore,
    StagedCommit,
    WelcomeJoin,
)
from parlour.mls.private.linking import reinit_group
from parlour.mls.private.pieces import _write_node, read_delta
from parlour.mls.private.storage import (
    dump_group,
    dump_private,
    dump_public,
    load_group,
    load_parts,
)
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.proposals import PreSharedKey, ReInit, Remove
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere, refresh


def reloaded(group: Group) -> Group:
    """The group after a restart; the record of the copy is the same."""
    data = dump_group(group)
    again = load_group(data, group.member.policy, group.member.psks)
    assert dump_group(again) == data
    if group.is_active:
        assert again.epoch_authenticator == group.epoch_authenticator
    return again


def test_a_fresh_group_and_its_parts() -> None:
    ada, bea = group_of("ada", "bea")
    before = dump_public(ada.group)
    private = dump_private(ada.group)
    message = ada.group.encrypt(b"hello")
    assert dump_public(ada.group) == before
    assert dump_private(ada.group) != private
    assert load_parts(before, private, OPEN_POLICY).epoch == 1
    bea.group = reloaded(bea.group)
    assert bea.group.decrypt(message, NOW).data == b"hello"
    assert b"hello" not in dump_group(bea.group)


def test_late_messages_after_a_restart() -> None:
    people = group_of("ada", "bea", "cid", "dan", "eve")
    ada, bea = people[:2]
    late = [ada.group.encrypt(str(n).encode()) for n in range(4)]
    assert bea.group.decrypt(late[2], NOW).data == b"2"
    cid = people[2]
    old = cid.group.encrypt(b"from one who left")
    pending = ada.group.commit(NOW, removes=[cid.group.own_leaf, people[4].group.own_leaf])
    merge_everywhere(ada, pending, [bea, people[3]])
    refresh([ada, bea, people[3]])
    bea.group = reloaded(reloaded(bea.group))
    for n in (3, 0, 1):
        assert bea.group.decrypt(late[n], NOW).data == str(n).encode()
    said = bea.group.decrypt(old, NOW)
    assert said.leaf_node.credential == cid.identity.credential
    bea.group.expire(NOW + 3_601)
    assert reloaded(bea.group).member.past == ()


def test_a_tree_that_grows_while_a_commit_is_pending() -> None:
    ada, bea = group_of("ada", "bea")
    ada.psks.add_external(b"id", ExternalPsk(b"k"))
    bea.psks.add_external(b"id", ExternalPsk(b"k"))
    newcomers = [Person(name) for name in ("cid", "dan", "eve")]
    bundles = [person.key_package() for person in newcomers]
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"id"), b"n" * 32))
    pending = ada.group.commit(
        NOW, adds=[bundle.key_package for bundle in bundles], proposals=[psk]
    )
    ada.group = reloaded(ada.group)
    assert ada.group.pending is not None
    assert ada.group.pending.changes == pending.changes
    ada.group.process(pending.commit, NOW)
    bea.group.process(pending.commit, NOW)
    for person, bundle in zip(newcomers, bundles, strict=True):
        person.psks.add_external(b"id", ExternalPsk(b"k"))
        person.join(pending.welcome, bundle)
    check_agreement([ada, bea, *newcomers])
    # And one that shrinks it again.
    shrink = ada.group.commit(NOW, removes=[p.group.own_leaf for p in newcomers])
    ada.group = reloaded(ada.group)
    assert ada.group.pending is not None
    merge_everywhere(ada, ada.group.pending, [bea])
    assert shrink.commit
    check_agreement([ada, bea])
    assert ada.group.current.tree.leaf_count == 2
    # Past epochs have more leaves than the current one.
    assert len(reloaded(ada.group).member.past) == 3


def test_proposals_and_updates_that_wait() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    update = bea.group.propose_update(NOW)
    remove = bea.group.propose(Remove(cid.group.own_leaf), NOW)
    for person in (ada, cid):
        person.group.process(update, NOW)
        person.group.process(remove, NOW)
    bea.group = reloaded(bea.group)
    assert [type(sent.proposal).__name__ for sent in bea.group.proposals] == ["Update", "Remove"]
    pending = ada.group.commit(NOW)
    merge_everywhere(ada, pending, [bea])
    check_agreement([ada, bea])
    cid.group.process(pending.commit, NOW)
    gone = reloaded(cid.group)
    assert not gone.is_active


def test_an_ended_group_and_keys_made_ahead() -> None:
    ada, bea = group_of("ada", "bea")
    ada.group.precompute(4)
    ada.group.encrypt(b"0")
    ada.group = reloaded(ada.group)
    assert bea.group.decrypt(ada.group.encrypt(b"1"), NOW).data == b"1"
    end = ReInit(b"next", 1, 1, Extensions())
    merge_everywhere(ada, ada.group.commit(NOW, proposals=[end]), [bea])
    again = reloaded(ada.group)
    assert again.member.reinit == end
    assert not again.is_active


def test_records_that_are_not_ours() -> None:
    (ada,) = group_of("ada")
    data = dump_group(ada.group)
    with pytest.raises(DecodeError) as caught:
        load_group(b"\x03" + data[1:], OPEN_POLICY)
    assert caught.value.code is Code.DECODE_VERSION
    public, private = dump_public(ada.group), dump_private(ada.group)
    with pytest.raises(DecodeError) as caught:
        load_parts(public, b"\x03" + private[1:], OPEN_POLICY)
    assert caught.value.code is Code.DECODE_VERSION
    for size in range(0, len(data), 37):
        with pytest.raises(DecodeError):
            load_group(data[:size], OPEN_POLICY)


def test_a_past_tree_in_which_somebody_was_not_yet() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    late = ada.group.encrypt(b"before")
    pending = ada.group.commit(NOW, adds=[Person("dan").key_package().key_package])
    merge_everywhere(ada, pending, [bea, cid])
    bea.group = reloaded(bea.group)
    assert bea.group.member.past[-1].tree.leaf(3) is None
    assert bea.group.decrypt(late, NOW).data == b"before"


def test_a_node_outside_its_tree() -> None:
    ada, _ = group_of("ada", "bea")
    tree = ada.group.current.tree
    smaller = Writer().uint32(1).vector([(2, None)], _write_node).data()
    with pytest.raises(DecodeError):
        read_delta(Reader(smaller), tree, 1)


def test_key_packages() -> None:
    ada = Person("ada")
    ada.create()
    bea = Person("bea")
    bundle = KeyPackageBundle.from_bytes(bea.key_package(last_resort=True).to_bytes())
    assert bundle.key_package.is_last_resort
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    bea.join(pending.welcome, bundle)
    with pytest.raises(DecodeError) as caught:
        KeyPackageBundle.from_bytes(b"\x02" + bundle.to_bytes()[1:])
    assert caught.value.code is Code.DECODE_VERSION
    plain = KeyPackageBundle.create(bea.identity, NOW, grease=False)
    assert not plain.key_package.is_last_resort
    assert len(plain.key_package.extensions) == 0


def test_pre_shared_keys_after_a_restart() -> None:
    ada, bea = group_of("ada", "bea")
    old = ada.group.epoch
    for person in (ada, bea):
        person.psks.add_external(b"id", ExternalPsk(b"k"))
    refresh([ada, bea])
    data = bea.psks.to_bytes()
    bea.psks = PskStore.from_bytes(data)
    assert bea.psks.to_bytes() == data
    bea.group = load_group(dump_group(bea.group), bea.policy, bea.psks)
    assert bea.psks.to_bytes() == data
    earlier = ResumptionPskId(ResumptionPskUsage.APPLICATION, b"group", old)
    psks = [PreSharedKeyId(key, b"n" * 32) for key in (earlier, ExternalPskId(b"id"))]
    pending = ada.group.commit(NOW, proposals=list(map(PreSharedKey, psks)))
    merge_everywhere(ada, pending, [bea])
    check_agreement([ada, bea])
    with pytest.raises(DecodeError) as caught:
        PskStore.from_bytes(b"\x02" + data[1:])
    assert caught.value.code is Code.DECODE_VERSION


def test_nothing_shows_a_secret() -> None:
    ada, bea = group_of("ada", "bea")
    pending = ada.group.commit(NOW, adds=[Person("cid").key_package().key_package])
    staged = bea.group.receive(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    message = bea.group.receive(ada.group.encrypt(b"hello"), NOW)
    assert isinstance(message, ApplicationMessage)
    shown = " ".join(
        map(repr, (ada.group, ada.group.member, pending, staged, message, ada.key_package()))
    )
    secrets = ada.group.current.secrets
    for name in secrets.__slots__:
        assert getattr(secrets, name).reveal().hex() not in shown
        assert repr(getattr(secrets, name).reveal())[2:-1] not in shown
    assert "hello" not in shown
    assert LeafIndex(0) == ada.group.own_leaf


def known_secrets(person: Person) -> list[bytes]:
    """What a thief of the state would look for: keys of the epoch, of the leaf, of the client."""
    epoch = person.group.current
    names = epoch.secrets.__slots__
    return [
        *(getattr(epoch.secrets, name).reveal() for name in names if name != "resumption_psk"),
        *(key.to_bytes() for key in epoch.keys.values()),
        *person.group.member.secret_tree._nodes.values(),
        epoch.identity.signer.to_bytes(),
    ]


def test_who_was_removed_keeps_no_secret_beyond_the_hour() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    refresh([ada, bea, cid])
    late = bea.group.encrypt(b"recorded by the network")
    pending = ada.group.commit(NOW, removes=[cid.group.own_leaf])
    before, resumption = known_secrets(cid), cid.group.current.secrets.resumption_psk.reveal()
    assert all(secret in dump_group(cid.group) for secret in before)
    merge_everywhere(ada, pending, [bea, cid])
    # What is left opens late messages for an hour, by the ratchets and the sender data alone.
    assert len([secret for secret in before if secret in dump_group(cid.group)]) < 3
    cid.group.expire(NOW + 3_601)
    record = dump_group(cid.group)
    assert not [secret for secret in (*before, resumption) if secret in record]
    thief = load_group(record, OPEN_POLICY)
    thief.member.removed = False
    with pytest.raises(ParlourError):
        thief.decrypt(late, NOW)
    with pytest.raises(UsageError):
        thief.encrypt(b"I am still there")
    for group in (cid.group, thief):
        assert (group.group_id, group.epoch, group.own_leaf) == (b"group", 2, 2)
        assert [index for index, _ in group.members] == [0, 1, 2]
        assert len(group.extensions) == 0
        with pytest.raises(UsageError):
            _ = group.epoch_authenticator


def test_a_closed_group_keeps_the_key_by_which_another_follows() -> None:
    ada, bea = group_of("ada", "bea")
    end = ada.group.commit(NOW, proposals=[ReInit(b"next", 1, 1, Extensions())])
    epoch, secret_tree = end.next.look()
    secrets = [
        *(getattr(epoch.secrets, name).reveal() for name in epoch.secrets.__slots__),
        *(key.to_bytes() for key in epoch.keys.values()),
        *secret_tree._nodes.values(),
        epoch.identity.signer.to_bytes(),
    ]
    merge_everywhere(ada, end, [bea])
    ada.group.expire(NOW + 3_601)
    record = dump_group(ada.group)
    # Neither reads a message: one ties the next group to this, one compares how this ended.
    kept = (epoch.secrets.resumption_psk.reveal(), epoch.secrets.epoch_authenticator.reveal())
    assert [s for s in secrets if s in record] == list(kept)
    again = load_group(record, OPEN_POLICY)
    assert again.epoch_authenticator == bea.group.epoch_authenticator
    bundle = bea.key_package()
    group, welcome = reinit_group(again, ada.identity, [bundle.key_package], NOW)
    join = WelcomeJoin(bea.policy, bea.psks, groups={b"group": bea.group.as_origin()})
    joined, _ = Group.join(welcome, [bundle], NOW, join)
    assert joined.epoch_authenticator == group.epoch_authenticator


def test_parts_of_two_epochs_are_no_group() -> None:
    ada, bea = group_of("ada", "bea")
    old = dump_public(ada.group), dump_private(ada.group)
    refresh([ada, bea])
    for public, private in ((dump_public(ada.group), old[1]), (old[0], dump_private(ada.group))):
        with pytest.raises(StorageError) as caught:
            load_parts(public, private, OPEN_POLICY)
        assert caught.value.code is Code.STORE_BROKEN
    assert load_parts(*old, OPEN_POLICY).epoch == 1
