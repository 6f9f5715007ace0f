"""A group as a delivery service follows it, without any private key."""

from __future__ import annotations

import subprocess
import sys

import pytest

from parlour.errors import DecodeError, UsageError
from parlour.mls import CommitOptions, PublicGroup, Rule, RuleBroken
from parlour.mls.public.changes import Changes
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.mls.public.group import verify_proposal
from parlour.mls.public.proposals import ReInit, Remove
from parlour.mls.public.staging import StagedPublic, stage_commit
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.types import LeafIndex, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_forger import commit, message, update_path
from tests.mls_people import NOW, group_of, merge_everywhere, watch


def test_it_follows_and_refuses() -> None:
    ada, bea = group_of("ada", "bea")
    server = watch(ada)
    proposal = bea.group.propose_update(NOW)
    ada.group.process(proposal, NOW)
    followed = server.receive(proposal, NOW)
    assert isinstance(followed, PublicGroup)
    assert len(server.proposals) == 0
    assert len(followed.proposals) == 1
    broken = commit(ada, Remove(LeafIndex(0)), path=update_path(ada))
    with pytest.raises(RuleBroken) as caught:
        followed.receive(broken, NOW)
    assert caught.value.rule is Rule.REMOVE_COMMITTER
    pending = ada.group.commit(NOW)
    staged = followed.receive(pending.commit, NOW)
    assert isinstance(staged, StagedPublic)
    assert isinstance(staged.changes, Changes)
    merge_everywhere(ada, pending, [bea])
    after = followed.merge(staged)
    assert after.state.group_context == ada.group.current.context
    assert after.state.interim_transcript_hash == ada.group.current.public.interim_transcript_hash
    assert followed.state.group_context.epoch == 1


def test_a_tree_beside_the_group_info() -> None:
    ada, _ = group_of("ada", "bea")
    info = decode_message(ada.group.group_info(ratchet_tree=False))
    assert isinstance(info, GroupInfoMessage)
    tree = encode_tree(ada.group.current.tree)
    server = PublicGroup.follow(info.group_info, NOW, OPEN_POLICY, ratchet_tree=tree)
    assert server.state.tree == ada.group.current.tree
    with pytest.raises(RuleBroken):
        PublicGroup.follow(info.group_info, NOW, OPEN_POLICY)


def test_what_it_cannot_read() -> None:
    ada, bea = group_of("ada", "bea")
    server = watch(ada)
    private = CommitOptions(wire_format=WireFormat.PRIVATE_MESSAGE)
    for data in (bea.group.encrypt(b"text"), ada.group.commit(NOW, options=private).commit):
        with pytest.raises(DecodeError):
            server.receive(data, NOW)
    with pytest.raises(DecodeError):
        PublicGroup.follow(ada.key_package().message, NOW, OPEN_POLICY)


def test_an_ended_group() -> None:
    ada, bea = group_of("ada", "bea")
    server = watch(ada)
    end = ReInit(b"next", 1, 1, Extensions())
    pending = ada.group.commit(NOW, proposals=[end])
    late = message(ada, Remove(LeafIndex(1)), epoch=2)
    staged = server.receive(pending.commit, NOW)
    assert isinstance(staged, StagedPublic)
    server = server.merge(staged)
    merge_everywhere(ada, pending, [bea])
    with pytest.raises(RuleBroken) as caught:
        server.receive(late, NOW)
    assert caught.value.rule is Rule.GROUP_CLOSED


def test_of_two_commits_of_an_epoch_one_is_merged() -> None:
    ada, bea = group_of("ada", "bea")
    server = watch(ada)
    first = server.receive(ada.group.commit(NOW).commit, NOW)
    second = server.receive(bea.group.commit(NOW).commit, NOW)
    assert isinstance(first, StagedPublic)
    assert isinstance(second, StagedPublic)
    followed = server.merge(first)
    for staged in (first, second):
        with pytest.raises(UsageError):
            followed.merge(staged)
    assert server.merge(second).state == second.state


def test_a_proposal_is_no_commit_and_a_commit_no_proposal() -> None:
    ada, _ = group_of("ada", "bea")
    server = watch(ada)
    proposal = server.verify(ada.group.propose(Remove(LeafIndex(1)), NOW))
    with pytest.raises(DecodeError):
        stage_commit(server.state, proposal, server.proposals, NOW, OPEN_POLICY)
    verified = server.verify(ada.group.commit(NOW).commit)
    with pytest.raises(DecodeError):
        verify_proposal(server.state, verified, NOW, OPEN_POLICY)


def test_it_is_imported_without_the_private_half() -> None:
    program = (
        "import sys; import parlour.mls.public.group; "
        "print([m for m in sys.modules if m.startswith('parlour.mls.private')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
