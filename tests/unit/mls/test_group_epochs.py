"""Which epochs and keys a member of a group has, and for how long."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from parlour.codec import encode_opaque
from parlour.errors import (
    AuthenticationError,
    ParlourError,
    PeerError,
    UsageError,
)
from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalPsk,
    Rule,
    RuleBroken,
    StagedCommit,
    find_suite,
)
from parlour.mls.private.key_schedule import Schedule
from parlour.mls.private.protection import sender_data_keys
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secrets import JoinerSecret, PskSecret, ResumptionPsk
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.private.treekem import open_path
from parlour.mls.public.framing.messages import PrivateMessage, decode_message
from parlour.mls.public.proposals import (
    Add,
    PreSharedKey,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import (
    NOW,
    Person,
    after,
    check_agreement,
    group_of,
    merge_everywhere,
    refresh,
)

PRIVATE = CommitOptions(wire_format=WireFormat.PRIVATE_MESSAGE)


def test_results_hold_no_secret_once_they_are_merged_or_given_up() -> None:
    ada, bea = group_of("ada", "bea")
    given_up = ada.group.commit(NOW)
    ada.group.clear_pending()
    pending = ada.group.commit(NOW, options=PRIVATE)
    staged = bea.group.process(pending.commit, NOW)
    ada.group.merge(pending, NOW)
    lost = bea.group.commit(NOW)
    bea.group.process(ada.group.commit(NOW).commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert not staged.removes_us
    assert staged.next is not None
    for done in (given_up.next, pending.next, staged.next, lost.next):
        with pytest.raises(UsageError):
            done.look()
        assert repr(done) == "NextEpoch([secret])"
    # And the key of the commit itself is gone from the epoch that it ended.
    with pytest.raises(ParlourError):
        bea.group.member.past[0].secret_tree.find(LeafIndex(0), 0, 0)


def test_a_removed_member_reads_the_past_and_nothing_else() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    late = ada.group.encrypt(b"before")
    pending = ada.group.commit(NOW, removes=[cid.group.own_leaf])
    merge_everywhere(ada, pending, [bea])
    cid.group.process(pending.commit, NOW)
    after = ada.group.encrypt(b"after")
    assert cid.group.decrypt(late, NOW).data == b"before"
    with pytest.raises(PeerError):
        cid.group.decrypt(after, NOW)
    cid.group.expire(NOW + 3_601)
    with pytest.raises(PeerError):
        cid.group.decrypt(late, NOW + 3_601)


def test_an_update_heals_a_compromised_member() -> None:
    """A thief of the whole state reads what comes until the victim's update is committed."""
    ada, bea, cid = group_of("ada", "bea", "cid")
    refresh([ada, bea, cid])
    thief = load_group(dump_group(bea.group), OPEN_POLICY)
    message = ada.group.encrypt(b"stolen")
    assert thief.decrypt(message, NOW).data == b"stolen"
    update = bea.group.propose_update(NOW)
    for group in (ada.group, cid.group, thief):
        group.process(update, NOW)
    pending = cid.group.commit(NOW)
    merge_everywhere(cid, pending, [ada, bea])
    with pytest.raises(RuleBroken):
        thief.process(pending.commit, NOW)
    with pytest.raises(ParlourError):
        thief.decrypt(ada.group.encrypt(b"safe"), NOW)
    check_agreement([ada, bea, cid])


def test_past_epochs_are_bounded_by_number_and_time() -> None:
    ada, bea = group_of("ada", "bea")
    late = []
    for _ in range(7):
        late.append(ada.group.encrypt(b"late"))
        refresh([ada, bea])
    assert len(bea.group.member.past) == 5
    for message in late[:2]:
        with pytest.raises(RuleBroken) as caught:
            bea.group.decrypt(message, NOW)
        assert caught.value.rule is Rule.EPOCH
    assert bea.group.decrypt(late[2], NOW + 3_600).data == b"late"
    with pytest.raises(RuleBroken):
        bea.group.decrypt(late[3], NOW + 3_601)


def test_a_message_that_comes_too_late_changes_nothing() -> None:
    ada, bea = group_of("ada", "bea")
    late = ada.group.encrypt(b"late")
    refresh([ada, bea])
    before = dump_group(bea.group)
    with pytest.raises(RuleBroken):
        bea.group.decrypt(late, NOW + 3_601)
    assert dump_group(bea.group) == before
    # One that is read shows that time has passed.
    bea.group.decrypt(ada.group.encrypt(b"new"), NOW + 3_601)
    assert bea.group.member.past == ()


def test_a_new_signature_key() -> None:
    ada, bea = group_of("ada", "bea")
    signer = ada.suite.signing_key_type.generate(ada.random)
    identity = ada.identity.with_signer(signer)
    pending = ada.group.commit(NOW, options=CommitOptions(identity=identity))
    merge_everywhere(ada, pending, [bea])
    assert bea.group.decrypt(ada.group.encrypt(b"new key"), NOW).data == b"new key"
    old, signer = bea.identity.signer, bea.suite.signing_key_type.generate(bea.random)
    update = bea.group.propose_update(NOW, bea.identity.with_signer(signer))
    ada.group.process(update, NOW)
    merge_everywhere(ada, ada.group.commit(NOW), [bea])
    assert bea.group.current.identity.signer is signer is not old
    assert ada.group.decrypt(bea.group.encrypt(b"mine too"), NOW).data == b"mine too"
    check_agreement([ada, bea])


def test_a_key_is_injected_under_another_nonce_each_time() -> None:
    people = group_of("ada", "bea")
    ada, bea = people
    for person in people:
        person.psks.add_external(b"id", ExternalPsk(b"k" * 32))
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"id"), b"n" * 32))
    ada.group.process(bea.group.propose(psk, NOW), NOW)
    seen = {psk.psk}
    for own in ([], [psk], [psk]):
        pending = ada.group.commit(NOW, proposals=own)
        merge_everywhere(ada, pending, [bea])
        (used,) = pending.changes.psks
        assert used.key == psk.psk.key
        assert len(used.psk_nonce) == 32
        seen.add(used)
    assert len(seen) == 4


def test_an_update_that_is_refused_leaves_no_key() -> None:
    ada, _ = group_of("ada", "bea")
    another = replace(ada.identity, credential=BasicCredential(b"somebody else"))
    with pytest.raises(RuleBroken):
        ada.group.propose_update(NOW, another)
    assert ada.group.member.updates == {}
    ada.group.propose_update(NOW)
    assert len(ada.group.member.updates) == 1


def test_a_clock_that_was_fast_keeps_no_epoch_beyond_the_hour() -> None:
    ada, bea = group_of("ada", "bea")
    late = bea.group.encrypt(b"late")
    far = NOW + 3_601
    ada.group.merge(ada.group.commit(NOW + 3_600), NOW + 3_600)
    bea.group.merge(bea.group.commit(far), far)
    bea.group.expire(NOW)
    assert not bea.group.member.past
    assert ada.group.decrypt(late, NOW).data == b"late"
    ada.group.expire(NOW + 3_600)
    assert ada.group.member.past
    ada.group.expire(NOW + 3_601)
    assert not ada.group.member.past


def test_the_store_of_keys() -> None:
    ada, bea = group_of("ada", "bea")
    for _ in range(7):
        refresh([ada, bea])
    assert repr(ada.psks) == "PskStore(0 external, 1 groups)"
    ada.psks.remove_group(b"group")
    assert repr(ada.psks) == "PskStore(0 external, 0 groups)"


@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_as_many_epochs_as_were_asked_for(keep: int) -> None:
    store = PskStore(keep)
    for epoch in (0, 1, 4, 3, 2):
        store.add_resumption(b"group", epoch, ResumptionPsk(bytes(32)))
    key = partial(ResumptionPskId, ResumptionPskUsage.APPLICATION, b"group")
    found = [n for n in range(5) if store.find(PreSharedKeyId(key(n), b"")) is not None]
    assert found == list(range(5))[5 - keep :]
    for wrong in (-1, 1 << 16):
        with pytest.raises(UsageError):
            PskStore(wrong)


def test_an_update_whose_key_is_not_ours() -> None:
    """Somebody replays our Update of a former life in the same epoch."""
    ada, bea = group_of("ada", "bea")
    update = bea.group.propose_update(NOW)
    ada.group.process(update, NOW)
    bea.group.member.updates.clear()
    pending = ada.group.commit(NOW)
    with pytest.raises(RuleBroken) as caught:
        bea.group.process(pending.commit, NOW)
    assert caught.value.rule is Rule.PATH_DERIVED_KEYS


def test_an_epoch_of_nobody() -> None:
    (ada,) = group_of("ada")
    with pytest.raises(UsageError):
        _ = replace(ada.group.current, leaf_index=LeafIndex(9)).own_leaf


def test_every_commit_heals_us_unless_we_say_otherwise() -> None:
    ada, bea = group_of("ada", "bea")
    bea.group.process(ada.group.propose(Add(Person("cid").key_package().key_package), NOW), NOW)
    before = ada.group.current.own_leaf
    pending = ada.group.commit(NOW)
    assert after(pending).own_leaf.encryption_key != before.encryption_key
    ada.group.clear_pending()
    without = ada.group.commit(NOW, options=CommitOptions(path=False))
    assert after(without).own_leaf == before


def test_sender_data_of_another_size() -> None:
    ada, bea = group_of("ada", "bea")
    message = decode_message(ada.group.encrypt(b"text"))
    assert isinstance(message, PrivateMessage)
    key, nonce = sender_data_keys(
        ada.suite, ada.group.current.secrets.sender_data_secret, message.ciphertext
    )
    aad = encode_opaque(b"group") + (1).to_bytes(8) + b"\x01"
    sealed = ada.suite.cipher(key).seal(nonce, bytes(11), aad)
    with pytest.raises(AuthenticationError):
        bea.group.receive(replace(message, encrypted_sender_data=sealed), NOW)


def test_a_path_for_which_we_have_no_key() -> None:
    ada, bea = group_of("ada", "bea")
    staged = bea.group.receive(ada.group.commit(NOW).commit, NOW)
    assert isinstance(staged, StagedCommit)
    public = staged.public
    assert public.path is not None
    with pytest.raises(RuleBroken) as caught:
        open_path(
            bea.suite,
            public.provisional_context,
            public.path,
            public.path_steps,
            frozenset(),
            LeafIndex(1),
            {},
        )
    assert caught.value.rule is Rule.PATH_DERIVED_KEYS


def test_a_key_schedule_does_not_show() -> None:
    suite = find_suite(1)
    schedule = Schedule.begin(suite, JoinerSecret(b"j" * 32), PskSecret(suite.zero))
    assert repr(schedule) == "Schedule([secret])"
