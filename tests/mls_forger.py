"""Messages that are signed rightly and break one rule: what a malicious member can send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parlour.codec import Writer, encode_opaque
from parlour.mls import Group, RuleBroken
from parlour.mls.private.committing import CommitOptions, NewCommit, Setting, make_commit
from parlour.mls.private.identity import lifetime_from
from parlour.mls.private.protection import protect_public
from parlour.mls.private.storage import dump_group
from parlour.mls.public.commit import Commit, UpdatePath
from parlour.mls.public.extensions import NO_EXTENSIONS, Extension, Extensions
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import PublicMessage, encode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.leaf_node import LeafNode, LeafNodeContent
from parlour.mls.public.proposals import Proposal
from parlour.mls.public.rules import Rule
from parlour.mls.public.state import SentProposal
from parlour.mls.public.types import MLS10, LeafNodeSource, SenderType, WireFormat
from parlour.primitives.signature import SignaturePrivateKey
from tests.mls_people import NOW, Person

UNKNOWN_EXTENSION = 0x4242
TAG = b"t" * 32


def fresh_key(person: Person) -> bytes:
    return person.suite.hpke.kem.generate_key_pair(person.random).public_key.to_bytes()


def leaf_node(
    person: Person,
    source: LeafNodeSource = LeafNodeSource.KEY_PACKAGE,
    *,
    signer: SignaturePrivateKey | None = None,
    **changes: Any,
) -> LeafNode:
    """A leaf node of a person with some fields changed, signed all the same."""
    lifetime = lifetime_from(NOW) if source is LeafNodeSource.KEY_PACKAGE else None
    parent_hash = b"" if source is LeafNodeSource.COMMIT else None
    content = person.identity.leaf_content(
        fresh_key(person), source, lifetime=lifetime, parent_hash=parent_hash
    )
    return sign_leaf(person, replace(content, **changes), signer)


def sign_leaf(
    person: Person, content: LeafNodeContent, signer: SignaturePrivateKey | None = None
) -> LeafNode:
    signer = signer or person.identity.signer
    if content.source is LeafNodeSource.KEY_PACKAGE:
        return LeafNode.sign(person.suite, signer, content)
    group = person.group
    return LeafNode.sign(person.suite, signer, content, group.group_id, group.own_leaf)


def key_package(
    person: Person,
    leaf: LeafNode | None = None,
    *,
    version: int = MLS10,
    cipher_suite: int | None = None,
    init_key: bytes | None = None,
    signature: bytes | None = None,
    extensions: Extensions = NO_EXTENSIONS,
) -> KeyPackage:
    """A key package with some fields changed, signed all the same."""
    suite = person.suite
    leaf = leaf or leaf_node(person)
    writer = Writer().uint16(version).uint16(suite.id if cipher_suite is None else cipher_suite)
    writer.opaque(fresh_key(person) if init_key is None else init_key)
    tbs = writer.data() + leaf.encoded + extensions.encode()
    if signature is None:
        signature = suite.sign_with_label(person.identity.signer, b"KeyPackageTBS", tbs)
    return KeyPackage(
        version,
        suite.id if cipher_suite is None else cipher_suite,
        init_key or fresh_key(person),
        leaf,
        Extensions(),
        signature,
        tbs + encode_opaque(signature),
        len(tbs),
    )


def message(
    person: Person,
    body: Body,
    *,
    sender: Sender | None = None,
    signer: SignaturePrivateKey | None = None,
    group_id: bytes | None = None,
    epoch: int | None = None,
    tag: bytes = TAG,
) -> PublicMessage:
    """A public message that is signed, and tagged if it claims to come from a member."""
    current = person.group.current
    context = current.context
    content = FramedContent.of(
        context.group_id if group_id is None else group_id,
        context.epoch if epoch is None else epoch,
        sender or Sender.member(current.leaf_index),
        b"",
        body,
    )
    signature = sign_content(
        person.suite,
        signer or person.identity.signer,
        WireFormat.PUBLIC_MESSAGE,
        content,
        context,
    )
    auth = AuthData(signature, tag if isinstance(body, Commit) else None)
    authenticated = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, auth)
    if content.sender.sender_type is not SenderType.MEMBER:
        return PublicMessage(content, auth)
    key = current.secrets.membership_key
    return protect_public(person.suite, key, context, authenticated)


def commit(person: Person, *proposals: Proposal, path: UpdatePath | None = None) -> PublicMessage:
    """A commit of those proposals; nobody asked whether they are valid."""
    return message(person, Commit(proposals, path))


def new_commit(person: Person, *proposals: Proposal, path: bool = True) -> NewCommit:
    """A valid commit with everything that its maker knows."""
    sender = Sender.member(person.group.own_leaf)
    return make_commit(
        person.group.current,
        person.policy,
        person.psks,
        tuple(SentProposal(proposal, sender) for proposal in proposals),
        CommitOptions(path=path),
        Setting(NOW, person.random),
    )


def update_path(person: Person, *proposals: Proposal) -> UpdatePath:
    """The path of a valid commit."""
    new = new_commit(person, *proposals)
    assert new.path is not None
    return new.path.update_path


def resign(person: Person, path: UpdatePath, **changes: Any) -> UpdatePath:
    """The path with another leaf, signed by its owner."""
    return replace(path, leaf_node=sign_leaf(person, replace(path.leaf_node.content, **changes)))


def refused(group: Group, rule: Rule, broken: PublicMessage | bytes) -> RuleBroken:
    """The group refuses the message for that rule, and stays as it was."""
    data = broken if isinstance(broken, bytes) else encode_message(broken)
    before = dump_group(group)
    with pytest.raises(RuleBroken) as caught:
        group.process(data, NOW)
    assert caught.value.rule is rule, caught.value
    assert dump_group(group) == before
    return caught.value


def unknown_extension() -> Extension:
    return Extension(UNKNOWN_EXTENSION, b"")
