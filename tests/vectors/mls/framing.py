"""Kinds about messages: §6, and the wire of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from parlour.codec import Reader, decode
from parlour.errors import PeerError
from parlour.mls.private.protection import (
    check_membership,
    protect_private,
    protect_public,
    unprotect_private,
)
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import EncryptionSecret, MembershipKey, SenderDataSecret
from parlour.mls.private.welcoming import GroupSecrets
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.commit import Commit
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.framing.authentication import VerifiedContent, sign_content
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import (
    PrivateMessage,
    PublicMessage,
    decode_message,
    encode_message,
)
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode, LeafNodeContent, Lifetime
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
    encode_proposal,
    read_proposal,
)
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.tree.extension import encode_tree, read_nodes
from parlour.mls.public.tree.index import TreeIndex
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, LeafNodeSource, WireFormat
from parlour.primitives.random import system_random
from tests.vectors.mls.crypto import Case, raw, signing_key


def _tree(suite: CipherSuite, signature_key: bytes) -> RatchetTree:
    """Two members; the one at leaf 1 has the key of the vector."""
    nodes: list[Any] = []
    other = suite.signing_key_type.generate()
    for key in (other.public_key.to_bytes(), signature_key):
        encryption = suite.hpke.kem.generate_key_pair().public_key.to_bytes()
        content = LeafNodeContent(
            encryption,
            key,
            BasicCredential(b"x"),
            Capabilities(),
            LeafNodeSource.KEY_PACKAGE,
            Lifetime(0, 1),
        )
        nodes += [LeafNode.sign(suite, other, content), None]
    return RatchetTree.of_nodes(suite, nodes[:3])


def message_protection(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    context = GroupContext(
        suite.id,
        raw(case, "group_id"),
        case["epoch"],
        raw(case, "tree_hash"),
        raw(case, "confirmed_transcript_hash"),
        Extensions(),
    )
    tree = _tree(suite, raw(case, "signature_pub"))
    membership = MembershipKey(raw(case, "membership_key"))
    sender_data = SenderDataSecret(raw(case, "sender_data_secret"))
    key = signing_key(suite, raw(case, "signature_priv"))

    def secret_tree() -> SecretTree:
        return SecretTree(suite, 2, EncryptionSecret(raw(case, "encryption_secret")))

    def open_public(data: bytes) -> VerifiedContent:
        message = decode_message(data)
        assert isinstance(message, PublicMessage)
        check_membership(suite, membership, context, message)
        return VerifiedContent.verify(suite, context, tree, message.authenticated)

    def open_private(data: bytes) -> VerifiedContent:
        message = decode_message(data)
        assert isinstance(message, PrivateMessage)
        opened = unprotect_private(suite, sender_data, secret_tree(), tree, message)
        return VerifiedContent.verify(suite, context, tree, opened.authenticated)

    def sign(body: Body, wire_format: WireFormat, tag: bytes | None) -> AuthenticatedContent:
        sender = Sender.member(LeafIndex(1))
        content = FramedContent.of(context.group_id, context.epoch, sender, b"aad", body)
        signature = sign_content(suite, key, wire_format, content, context)
        return AuthenticatedContent(wire_format, content, AuthData(signature, tag))

    for kind in ("proposal", "commit", "application"):
        body: Body = raw(case, kind)
        if kind != "application":
            read: Callable[[Reader], Body] = Commit.read if kind == "commit" else read_proposal
            body = decode(raw(case, kind), read)
        tag = b"tag" if kind == "commit" else None
        private = open_private(raw(case, f"{kind}_priv"))
        assert private.content.body == body
        own = sign(body, WireFormat.PRIVATE_MESSAGE, tag)
        sealed = protect_private(suite, sender_data, secret_tree(), own, 10, system_random)
        assert open_private(encode_message(sealed)).authenticated == own
        own = sign(body, WireFormat.PUBLIC_MESSAGE, tag)
        public = encode_message(protect_public(suite, membership, context, own))
        if kind == "application":
            with pytest.raises(PeerError):
                open_public(public)
            continue
        assert open_public(raw(case, f"{kind}_pub")).content.body == body
        assert open_public(public).authenticated == own


def messages(case: Case) -> None:
    for name in case:
        data = raw(case, name)
        if name == "ratchet_tree":
            suite = find_suite(1)
            nodes = read_nodes(data)
            empty: list[None] = [None] * len(nodes)
            tree = RatchetTree(suite, nodes, list(empty), list(empty), TreeIndex())
            assert encode_tree(tree) == data
        elif name.startswith(("mls_", "public_", "private_")):
            assert encode_message(decode_message(data)) == data, name
        elif name == "group_secrets":
            assert decode(data, GroupSecrets.read).encode() == data
        elif name == "commit":
            assert decode(data, Commit.read).encode() == data
        else:
            kind = _PROPOSALS[name]
            proposal = decode(data, kind.read)
            assert proposal.encode_body() == data, name
            assert decode(encode_proposal(proposal), read_proposal) == proposal


_PROPOSALS: dict[str, Any] = {
    "add_proposal": Add,
    "update_proposal": Update,
    "remove_proposal": Remove,
    "pre_shared_key_proposal": PreSharedKey,
    "re_init_proposal": ReInit,
    "external_init_proposal": ExternalInit,
    "group_context_extensions_proposal": GroupContextExtensions,
}
