"""Who was removed, and who stole a state, in random groups: what each of them can still read."""

from __future__ import annotations

import random as seeds

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlour.errors import ParlourError
from parlour.mls import CommitOptions, StagedCommit
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.public.types import WireFormat
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere, refresh

GIVEN = given(st.integers(0, 2**32), st.integers(3, 9), st.sampled_from(list(WireFormat)[:2]))
SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def people_of(size: int, choose: seeds.Random) -> list[Person]:
    """A group in which some have refreshed their keys, so that its tree is partly filled."""
    people = group_of(*(f"p{n}" for n in range(size)))
    for committer in choose.sample(range(size), choose.randint(0, size)):
        refresh(people, committer)
    return people


@SETTINGS
@GIVEN
def test_a_removed_member_reads_nothing_that_comes_after(
    seed: int, size: int, wire_format: WireFormat
) -> None:
    choose = seeds.Random(seed)
    people = people_of(size, choose)
    committer, gone = choose.sample(people, 2)
    kept = dump_group(gone.group)
    options = CommitOptions(wire_format=wire_format)
    pending = committer.group.commit(NOW, removes=[gone.group.own_leaf], options=options)
    left = [person for person in people if person is not gone]
    merge_everywhere(committer, pending, [person for person in left if person is not committer])
    gone.group.process(pending.commit, NOW)
    # It may keep the state from before its removal, and try with that.
    cheat = load_group(kept, gone.policy, gone.psks)
    for _ in range(2):
        for person in left:
            message = person.group.encrypt(b"after")
            for group in (gone.group, cheat):
                with pytest.raises(ParlourError):
                    group.receive(message, NOW)
        refresh(left, choose.randrange(len(left)))
    staged = cheat.receive(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert staged.removes_us


@SETTINGS
@GIVEN
def test_an_update_heals(seed: int, size: int, wire_format: WireFormat) -> None:
    choose = seeds.Random(seed)
    people = people_of(size, choose)
    victim = choose.choice(people)
    others = [person for person in people if person is not victim]
    thief = load_group(dump_group(victim.group), victim.policy)
    writer = choose.choice(others)
    assert thief.decrypt(writer.group.encrypt(b"stolen"), NOW).data == b"stolen"
    if choose.random() < 0.5:
        # By its own commit, or by an update that somebody else commits.
        options = CommitOptions(path=True, wire_format=wire_format)
        pending = victim.group.commit(NOW, options=options)
        merge_everywhere(victim, pending, others)
    else:
        update = victim.group.propose_update(NOW, wire_format=wire_format)
        for group in (*(person.group for person in others), thief):
            group.process(update, NOW)
        pending = writer.group.commit(NOW, options=CommitOptions(wire_format=wire_format))
        merge_everywhere(writer, pending, [person for person in people if person is not writer])
    check_agreement(people)
    with pytest.raises(ParlourError):
        thief.process(pending.commit, NOW)
    for person in people:
        with pytest.raises(ParlourError):
            thief.receive(person.group.encrypt(b"safe"), NOW)
    assert thief.epoch_authenticator != victim.group.epoch_authenticator
