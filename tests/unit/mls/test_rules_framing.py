"""Chapter 6: who may say what, and in which envelope. A test for each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.mls import Rule, RuleBroken
from parlour.mls.private.external import propose_as_external_sender
from parlour.mls.private.protection import protect_private
from parlour.mls.private.sending import frame
from parlour.mls.public.commit import Commit
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.framing.content import (
    NEW_MEMBER_COMMIT,
    NEW_MEMBER_PROPOSAL,
    AuthData,
    Body,
    Sender,
)
from parlour.mls.public.framing.messages import encode_message
from parlour.mls.public.group_context import ExternalSender, external_senders_extension
from parlour.mls.public.proposals import Add, ExternalInit, Remove, Update
from parlour.mls.public.types import LeafIndex, LeafNodeSource, SenderType, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_forger import key_package, leaf_node, message, refused
from tests.mls_people import NOW, Person, group_of

EXTERNAL = Sender(SenderType.EXTERNAL, 0)


def group_with_external_sender() -> tuple[Person, Person, Person]:
    ada, bea, server = Person("ada"), Person("bea"), Person("server")
    sender = ExternalSender(
        server.identity.signer.public_key.to_bytes(), server.identity.credential
    )
    ada.create(extensions=Extensions.of([external_senders_extension((sender,))]))
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    ada.group.merge(pending, NOW)
    bea.join(pending.welcome, bundle)
    server.group = ada.group
    return ada, bea, server


def test_v0601_an_external_sender_that_is_not_named() -> None:
    ada, bea = group_of("ada", "bea")
    remove = Remove(LeafIndex(1))
    refused(bea.group, Rule.EXTERNAL_SENDER_KNOWN, message(ada, remove, sender=EXTERNAL))
    ada, bea, server = group_with_external_sender()
    context, key = ada.group.current.context, server.identity.signer
    refused(
        bea.group,
        Rule.EXTERNAL_SENDER_KNOWN,
        propose_as_external_sender(context, key, 1, remove, NOW),
    )
    bea.group.process(propose_as_external_sender(context, key, 0, remove, NOW), NOW)


def test_v0602_an_external_sender_that_commits() -> None:
    _, bea, server = group_with_external_sender()
    refused(bea.group, Rule.EXTERNAL_SENDER_CONTENT, message(server, Commit(()), sender=EXTERNAL))


def test_v0603_an_external_sender_that_proposes_what_it_may_not() -> None:
    ada, bea, server = group_with_external_sender()
    update = Update(leaf_node(ada, LeafNodeSource.UPDATE))
    for proposal in (update, ExternalInit(b"k" * 32)):
        broken = message(server, proposal, sender=EXTERNAL)
        refused(bea.group, Rule.EXTERNAL_SENDER_PROPOSAL, broken)


def test_v0604_somebody_new_who_commits_no_commit() -> None:
    ada, bea = group_of("ada", "bea")
    broken = message(ada, Remove(LeafIndex(0)), sender=NEW_MEMBER_COMMIT)
    refused(bea.group, Rule.NEW_MEMBER_COMMIT_CONTENT, broken)


def test_v0605_somebody_new_who_proposes_no_add() -> None:
    ada, bea = group_of("ada", "bea")
    bodies: tuple[Body, ...] = (Remove(LeafIndex(0)), Commit(()))
    for body in bodies:
        broken = message(ada, body, sender=NEW_MEMBER_PROPOSAL)
        refused(bea.group, Rule.NEW_MEMBER_PROPOSAL_CONTENT, broken)


def test_v0606_a_sender_who_is_nobody() -> None:
    people = group_of("ada", "bea", "cid")
    for leaf in (3, 4, 2**32 - 1):
        sender = Sender.member(LeafIndex(leaf))
        broken = message(people[0], Remove(LeafIndex(1)), sender=sender)
        refused(people[1].group, Rule.SENDER_IS_MEMBER, broken)


def test_v0607_a_message_in_the_name_of_another() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    sender = Sender.member(bea.group.own_leaf)
    refused(cid.group, Rule.CONTENT_SIGNATURE, message(ada, Remove(LeafIndex(0)), sender=sender))


def test_v0608_a_message_whose_sender_knows_no_secret() -> None:
    ada, bea = group_of("ada", "bea")
    broken = replace(message(ada, Remove(LeafIndex(1))), membership_tag=b"m" * 32)
    refused(bea.group, Rule.MEMBERSHIP_TAG, broken)
    # One without a tag does not come by a wire, but from a careless caller.
    with pytest.raises(RuleBroken) as caught:
        bea.group.receive(replace(broken, membership_tag=None), NOW)
    assert caught.value.rule is Rule.MEMBERSHIP_TAG


def test_v0609_application_data_in_public() -> None:
    ada, bea = group_of("ada", "bea")
    refused(bea.group, Rule.APPLICATION_IS_PRIVATE, message(ada, b"hello"))


class Padded(AuthData):
    """Puts something behind the authentication where zeros belong."""

    __slots__ = ()

    def encode(self) -> bytes:
        return super().encode() + b"\x00\x01"


def private(ada: Person, body: Body, auth: AuthData | None = None, leaf: int = 0) -> bytes:
    current = ada.group.current
    framed = frame(current, body, b"", WireFormat.PRIVATE_MESSAGE)
    sender = Sender.member(LeafIndex(leaf))
    framed = replace(
        framed,
        auth=auth or framed.auth,
        content=replace(framed.content, sender=sender),
    )
    sealed = protect_private(
        ada.suite,
        current.secrets.sender_data_secret,
        ada.group.member.secret_tree,
        framed,
        0,
        ada.random,
    )
    return encode_message(sealed)


def test_v0610_padding_that_says_something() -> None:
    ada, bea = group_of("ada", "bea")
    refused(bea.group, Rule.PADDING_IS_ZERO, private(ada, b"hello", Padded(b"signature")))


def test_v0611_sender_data_of_nobody() -> None:
    ada, bea, _ = group_of("ada", "bea", "cid")
    refused(bea.group, Rule.SENDER_DATA_LEAF, private(ada, b"hello", leaf=3))


def test_v0613_a_message_to_another_group() -> None:
    ada, bea = group_of("ada", "bea")
    refused(bea.group, Rule.GROUP_ID, message(ada, Remove(LeafIndex(1)), group_id=b"other"))


def test_v0614_a_message_of_another_epoch() -> None:
    ada, bea = group_of("ada", "bea")
    for epoch in (0, 2, 2**64 - 1):
        broken = message(ada, Remove(LeafIndex(1)), epoch=epoch)
        refused(bea.group, Rule.EPOCH, broken)
    old = ada.group.encrypt(b"hello")
    stranger = Person("cid")
    stranger.create(b"group")
    refused(stranger.group, Rule.EPOCH, old)


def test_v1236_somebody_new_without_a_path() -> None:
    ada, bea = group_of("ada", "bea")
    broken = message(ada, Commit((ExternalInit(b"k" * 32),)), sender=NEW_MEMBER_COMMIT)
    refused(bea.group, Rule.EXTERNAL_COMMIT_PATH, broken)


def test_v1205_somebody_new_whom_the_application_does_not_let_in() -> None:
    ada, bea = group_of("ada", "bea")
    cid = Person("cid")
    cid.group = ada.group
    ask = message(cid, Add(key_package(cid)), sender=NEW_MEMBER_PROPOSAL)
    bea.group.member.policy = replace(OPEN_POLICY, new_member_proposals=False)
    refused(bea.group, Rule.EXTERNAL_PROPOSAL_AUTHORIZED, ask)
    ada.group.process(encode_message(ask), NOW)


def test_v1240_data_before_the_commit_that_is_due() -> None:
    ada, bea = group_of("ada", "bea")
    bea.group.process(ada.group.propose(Remove(LeafIndex(1)), NOW), NOW)
    for person in (ada, bea):
        with pytest.raises(RuleBroken) as caught:
            person.group.encrypt(b"hello")
        assert caught.value.rule is Rule.COMMIT_BEFORE_DATA
    ada.group.commit(NOW)
    ada.group.encrypt(b"while a commit is pending")
