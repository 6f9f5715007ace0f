"""What applications do with groups, and what they may not."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import parlour.mls
from parlour.errors import (
    Code,
    DecodeError,
    PeerError,
    UsageError,
)
from parlour.mls import (
    ApplicationMessage,
    CommitOptions,
    ExternalJoin,
    Group,
    PendingCommit,
    Rule,
    RuleBroken,
    StagedCommit,
    WelcomeJoin,
)
from parlour.mls.private import sending
from parlour.mls.private.storage import dump_group
from parlour.mls.public.framing.messages import decode_message
from parlour.mls.public.proposals import (
    Remove,
)
from parlour.mls.public.types import LeafIndex, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import NOW, Person, check_agreement, group_of

PRIVATE = CommitOptions(wire_format=WireFormat.PRIVATE_MESSAGE)


def test_every_public_name_is_there_when_asked_for() -> None:
    stub = Path(parlour.mls.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert set(re.findall(r" as (\w+),?$", stub, re.M)) == set(parlour.mls.__all__)
    for name in parlour.mls.__all__:
        assert getattr(parlour.mls, name).__name__ in (name, name.lower())
        assert name in dir(parlour.mls)
    with pytest.raises(AttributeError):
        parlour.mls.Nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_what_a_group_is() -> None:
    ada, bea = group_of("ada", "bea")
    group = bea.group
    assert (group.group_id, group.epoch, group.own_leaf) == (b"group", 1, 1)
    assert [index for index, _ in group.members] == [0, 1]
    assert len(group.extensions) == 0
    assert group.is_active
    assert group.pending is None
    assert group.export(b"label", b"context", 20) == ada.group.export(b"label", b"context", 20)
    assert group.export(b"other", b"context", 20) != ada.group.export(b"label", b"context", 20)
    assert len(group.export(b"label", b"", 100)) == 100
    assert "Group(67726f7570, epoch=1, leaf=1)" in repr(group)
    assert repr(group.current.tree) == "RatchetTree(2 members, 2 leaves)"
    assert hash(group.current.tree) == hash(ada.group.current.tree)
    assert hash(group.current.own_leaf) == hash(ada.group.current.tree.leaf(1))


def test_labels_and_lengths_of_an_application_are_not_remembered_without_end() -> None:
    ada, bea = group_of("ada", "bea")
    suite = ada.suite
    for number in range(300):
        label = str(number).encode()
        exported = ada.group.export(label, b"", number + 1)
        assert exported == bea.group.export(label, b"", number + 1)
        assert len(exported) == number + 1
    assert max(len(suite._infos), len(suite._blocks)) <= 256


@pytest.mark.parametrize("wire_format", [WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE])
def test_our_own_commit_comes_back(wire_format: WireFormat) -> None:
    ada, bea = group_of("ada", "bea")
    pending = ada.group.commit(
        NOW, options=CommitOptions(wire_format=wire_format, authenticated_data=b"why")
    )
    assert isinstance(bea.group.receive(pending.commit, NOW), StagedCommit)
    bea.group.decrypt(ada.group.encrypt(b"while it is pending"), NOW)
    assert ada.group.receive(pending.commit, NOW) is pending
    assert isinstance(ada.group.process(pending.commit, NOW), PendingCommit)
    bea.group.process(pending.commit, NOW)
    check_agreement([ada, bea])
    # A second time it is late.
    for person in (ada, bea):
        with pytest.raises(RuleBroken) as caught:
            person.group.process(pending.commit, NOW)
        assert caught.value.rule is Rule.EPOCH
        assert caught.value.code is Code.MLS_EPOCH


def test_a_commit_of_ours_that_we_gave_up() -> None:
    ada, _ = group_of("ada", "bea")
    pending = ada.group.commit(NOW)
    with pytest.raises(UsageError):
        ada.group.commit(NOW)
    ada.group.clear_pending()
    with pytest.raises(PeerError) as caught:
        ada.group.process(pending.commit, NOW)
    assert caught.value.code is Code.MLS_EPOCH
    with pytest.raises(UsageError):
        ada.group.merge(pending, NOW)


def test_a_staged_commit_can_be_looked_at_and_left() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    dan = Person("dan")
    bundle = dan.key_package()
    pending = ada.group.commit(
        NOW, adds=[bundle.key_package], removes=[cid.group.own_leaf], options=PRIVATE
    )
    staged = bea.group.receive(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert not staged.removes_us
    changes = staged.public.changes
    assert [package for _, package in changes.added] == [bundle.key_package]
    assert changes.removed == (LeafIndex(2),)
    assert staged.public.committer == 0
    assert bea.group.epoch == 1
    other = cid.group.receive(pending.commit, NOW)
    assert isinstance(other, StagedCommit)
    assert other.removes_us
    cid.group.merge(other, NOW)
    with pytest.raises(UsageError) as caught:
        cid.group.encrypt(b"I am gone")
    assert caught.value.code is Code.USAGE_STATE
    again = bea.group.receive(pending.commit, NOW)
    bea.group.merge(staged, NOW)
    assert isinstance(again, StagedCommit)
    with pytest.raises(UsageError):
        bea.group.merge(again, NOW)


def test_of_two_commits_of_an_epoch_the_one_that_removes_us_is_the_last() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    removal = cid.group.receive(ada.group.commit(NOW, removes=[LeafIndex(2)]).commit, NOW)
    loser = cid.group.receive(bea.group.commit(NOW).commit, NOW)
    assert isinstance(removal, StagedCommit)
    assert isinstance(loser, StagedCommit)
    cid.group.merge(removal, NOW)
    for staged in (loser, removal):
        with pytest.raises(UsageError):
            cid.group.merge(staged, NOW)
    assert (cid.group.epoch, len(cid.group.members), cid.group.own_leaf) == (1, 3, 2)


def test_reading_data_takes_nothing_else() -> None:
    ada, bea = group_of("ada", "bea")
    remove = Remove(LeafIndex(0))
    messages = [
        bea.group.propose(remove, NOW, wire_format=WireFormat.PRIVATE_MESSAGE),
        bea.group.propose(remove, NOW, authenticated_data=b"again"),
        bea.group.commit(NOW, options=PRIVATE).commit,
    ]
    before = dump_group(ada.group)
    for message in messages:
        with pytest.raises(DecodeError):
            ada.group.decrypt(message, NOW)
        assert dump_group(ada.group) == before


def test_padding_and_authenticated_data() -> None:
    ada, bea = group_of("ada", "bea")
    sizes = {len(ada.group.encrypt(bytes(n), pad_to=256)) for n in range(0, 150, 10)}
    assert len(sizes) == 1
    message = ada.group.encrypt(b"text", b"epoch tag", pad_to=512)
    received = bea.group.receive(message, NOW)
    assert isinstance(received, ApplicationMessage)
    assert (received.sender, received.epoch) == (0, 1)
    assert (received.data, received.authenticated_data) == (b"text", b"epoch tag")
    for pad_to in (0, -1, sending.MAX_PADDING + 1):
        with pytest.raises(UsageError):
            ada.group.encrypt(b"text", pad_to=pad_to)
    with pytest.raises(UsageError):
        ada.group.encrypt(bytes(sending.MAX_APPLICATION_DATA + 1))


def test_threads_verify_batches() -> None:
    ada = Person("ada")
    ada.create()
    people = [Person(f"p{n}") for n in range(70)]
    bundles = [person.key_package() for person in people]
    packages = [bundle.key_package for bundle in bundles]
    with ThreadPoolExecutor(2) as executor:
        pending = ada.group.commit(NOW, adds=packages, run=executor.map)
        assert pending.welcome is not None
        join = WelcomeJoin(OPEN_POLICY)
        group, used = Group.join(pending.welcome, bundles[3:], NOW, join, run=executor.map)
        assert used is bundles[3]
        assert group.own_leaf == 4
        broken = replace(packages[66], signature=b"s" * 64)
        ada.group.clear_pending()
        with pytest.raises(RuleBroken) as caught:
            ada.group.commit(NOW, adds=[*packages[:66], broken], run=executor.map)
        assert caught.value.rule is Rule.KEY_PACKAGE_SIGNATURE


def test_messages_of_the_wrong_kind() -> None:
    ada, bea = group_of("ada", "bea")
    package = ada.key_package().message
    with pytest.raises(DecodeError):
        ada.group.receive(package, NOW)
    with pytest.raises(DecodeError):
        Group.join(package, [], NOW, WelcomeJoin(OPEN_POLICY))
    with pytest.raises(DecodeError):
        Group.join_external(package, ada.identity, NOW, ExternalJoin(OPEN_POLICY))
    with pytest.raises(DecodeError):
        bea.group.decrypt(ada.group.propose(Remove(LeafIndex(1)), NOW), NOW)
    with pytest.raises(DecodeError):
        decode_message(bytes((0, 1, 0, 9)))
    with pytest.raises(DecodeError):
        decode_message(bytes((0, 2, 0, 1)))
