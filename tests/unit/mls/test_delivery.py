"""What a delivery service gets of a group, and gives to who joins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import Code, DecodeError
from parlour.mls import (
    CommitOptions,
    ExternalJoin,
    Group,
    PublicGroup,
    StagedPublic,
    WelcomeJoin,
    decode_message,
    dump_group,
    join_welcome_parts,
    load_group,
    split_welcome,
)
from parlour.mls.public.framing.messages import GroupInfoMessage
from parlour.mls.public.group_context import external_pub
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.types import ExtensionType
from parlour.mls.public.welcome import Welcome
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import NOW, Person, check_agreement, group_of

WITH_INFO = CommitOptions(group_info=True)


def info_of(message: bytes | None) -> GroupInfo:
    assert message is not None
    body = decode_message(message)
    assert isinstance(body, GroupInfoMessage)
    return body.group_info


def test_a_commit_with_the_group_info_of_the_epoch_that_it_begins() -> None:
    ada, bea = group_of("ada", "bea")
    pending = ada.group.commit(NOW, options=WITH_INFO)
    info = info_of(pending.group_info)
    assert info.group_context.epoch == ada.group.epoch + 1
    assert info.extensions.find(ExtensionType.RATCHET_TREE) is None
    assert external_pub(info.extensions) is not None
    ada.group = load_group(dump_group(ada.group), OPEN_POLICY)
    again = ada.group.pending
    assert again is not None
    assert again.group_info == pending.group_info
    ada.group.merge(again, NOW)
    bea.group.process(pending.commit, NOW)
    # A delivery service follows by it, and somebody joins by it.
    tree = ada.group.tree()
    server = PublicGroup.follow(info, NOW, OPEN_POLICY, tree)
    assert server.state == bea.group.as_origin().state
    cid = Person("cid")
    join = ExternalJoin(OPEN_POLICY, ratchet_tree=tree, group_info=True)
    joining = Group.join_external(info, cid.identity, NOW, join)
    for person in (ada, bea):
        person.group.process(joining.commit, NOW)
    cid.group = joining.confirm(joining.commit)
    check_agreement([ada, bea, cid])
    # Who joined gives the next one too.
    staged = server.receive(joining.commit, NOW)
    assert isinstance(staged, StagedPublic)
    after = PublicGroup.follow(info_of(joining.group_info), NOW, OPEN_POLICY, cid.group.tree())
    assert after.state == server.merge(staged).state


def test_no_group_info_unless_it_is_wanted() -> None:
    ada, _ = group_of("ada", "bea")
    assert ada.group.commit(NOW).group_info is None
    info = ada.group.group_info()
    joining = Group.join_external(info, Person("cid").identity, NOW, ExternalJoin(OPEN_POLICY))
    assert joining.group_info is None


def test_a_welcome_in_parts() -> None:
    ada, bea = group_of("ada", "bea")
    newcomers = [Person(name) for name in ("cid", "dan", "eve")]
    bundles = [person.key_package() for person in newcomers]
    options = CommitOptions(ratchet_tree=False)
    pending = ada.group.commit(NOW, adds=[b.key_package for b in bundles], options=options)
    ada.group.merge(pending, NOW)
    bea.group.process(pending.commit, NOW)
    assert pending.welcome is not None
    sealed, secrets = split_welcome(pending.welcome)
    assert set(secrets) == {bundle.reference for bundle in bundles}
    suite, tree = ada.suite.id, ada.group.tree()
    for person, bundle in zip(newcomers, bundles, strict=True):
        welcome = join_welcome_parts(suite, sealed, secrets[bundle.reference])
        assert split_welcome(welcome) == (sealed, {bundle.reference: secrets[bundle.reference]})
        join = WelcomeJoin(OPEN_POLICY, person.psks, ratchet_tree=tree)
        person.group, used = Group.join(welcome, [bundle], NOW, join)
        assert used is bundle
    check_agreement([ada, bea, *newcomers])


def test_what_is_not_a_welcome_and_parts_of_none() -> None:
    ada, _ = group_of("ada", "bea")
    bundle = Person("cid").key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    with pytest.raises(DecodeError) as caught:
        split_welcome(pending.commit)
    assert caught.value.code is Code.DECODE_MALFORMED
    assert pending.welcome is not None
    welcome = decode_message(pending.welcome)
    assert isinstance(welcome, Welcome)
    with pytest.raises(DecodeError):
        split_welcome(replace(welcome, secrets=welcome.secrets * 2))
    sealed, secrets = split_welcome(welcome)
    for entry in (secrets[bundle.reference][:-1], secrets[bundle.reference] + b"!", b""):
        with pytest.raises(DecodeError):
            join_welcome_parts(ada.suite.id, sealed, entry)
