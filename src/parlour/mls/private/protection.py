"""Membership tags, and the encryption of private messages.

Spec: RFC 9420 §6.2, §6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, encode_opaque
from parlour.errors import AuthenticationError, Code
from parlour.mls.private.ratchets import MessageKey, ratchet_kind
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import MembershipKey, SenderDataSecret
from parlour.mls.public.framing.authentication import content_tbs
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    FramedContent,
    Sender,
    read_body,
)
from parlour.mls.public.framing.messages import PrivateMessage, PublicMessage
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.suites import AEAD_NONCE_SIZE, CipherSuite
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import ContentType, LeafIndex, SenderType, WireFormat
from parlour.primitives.aead import Aead
from parlour.primitives.random import Random

_GUARD_SIZE: Final = 4
# SenderData: leaf index, generation, reuse guard.
_SENDER_DATA_SIZE: Final = 12


# --- Public messages (§6.2) ---


def _membership_tag(
    suite: CipherSuite, key: MembershipKey, context: GroupContext, message: AuthenticatedContent
) -> bytes:
    """The MAC of AuthenticatedContentTBM."""
    tbs = content_tbs(WireFormat.PUBLIC_MESSAGE, message.content, context)
    return suite.mac_pieces(key.reveal(), *tbs, message.auth.encode())


def protect_public(
    suite: CipherSuite, key: MembershipKey, context: GroupContext, message: AuthenticatedContent
) -> PublicMessage:
    """A member's public message."""
    tag = _membership_tag(suite, key, context, message)
    return PublicMessage(message.content, message.auth, tag)


def check_membership(
    suite: CipherSuite, key: MembershipKey, context: GroupContext, message: PublicMessage
) -> None:
    """Refuse a message in a member's name that no member made."""
    if message.content.sender.sender_type is not SenderType.MEMBER:
        return
    tag = message.membership_tag
    # V0608 §6.2: "the application MUST check `membership_tag` and MUST check that the
    # FramedContentAuthData is valid"
    genuine = tag is not None and suite.equal(
        _membership_tag(suite, key, context, message.authenticated), tag
    )
    require(genuine, Rule.MEMBERSHIP_TAG)


# --- Private messages (§6.3) ---


def _sender_data_cipher(
    suite: CipherSuite, secret: SenderDataSecret, ciphertext: bytes
) -> tuple[Aead, bytes]:
    """§6.3.2: key and nonce come from a sample of the ciphertext."""
    key, nonce = sender_data_keys(suite, secret, ciphertext)
    return suite.cipher(key), nonce


def sender_data_keys(
    suite: CipherSuite, secret: SenderDataSecret, ciphertext: bytes
) -> tuple[bytes, bytes]:
    """`sender_data_key` and `sender_data_nonce`."""
    sample = ciphertext[: suite.hash_size]
    value = secret.reveal()
    key = suite.expand_with_label(value, b"key", sample, suite.key_size)
    return key, suite.expand_with_label(value, b"nonce", sample, AEAD_NONCE_SIZE)


def _guarded(nonce: bytes, guard: bytes) -> bytes:
    head = int.from_bytes(nonce[:_GUARD_SIZE]) ^ int.from_bytes(guard)
    return head.to_bytes(_GUARD_SIZE) + nonce[_GUARD_SIZE:]


def _sender_data_aad(group_id: bytes, epoch: int, content_type: ContentType) -> bytes:
    return encode_opaque(group_id) + epoch.to_bytes(8) + content_type.to_bytes(1)


def protect_private(
    suite: CipherSuite,
    sender_data_secret: SenderDataSecret,
    secret_tree: SecretTree,
    message: AuthenticatedContent,
    padding: int,
    random: Random,
) -> PrivateMessage:
    """Encrypt a member's message under its next key."""
    content = message.content
    leaf_index = LeafIndex(content.sender.index)
    sending = secret_tree.next_key(leaf_index, ratchet_kind(content.content_type))
    guard = random(_GUARD_SIZE)
    aad = _sender_data_aad(content.group_id, content.epoch, content.content_type)
    ciphertext = sending.cipher.seal(
        _guarded(sending.nonce, guard),
        content.encoded_body + message.auth.encode() + bytes(padding),
        aad + encode_opaque(content.authenticated_data),
    )
    cipher, nonce = _sender_data_cipher(suite, sender_data_secret, ciphertext)
    sender_data = leaf_index.to_bytes(4) + sending.generation.to_bytes(4) + guard
    return PrivateMessage(
        content.group_id,
        content.epoch,
        content.content_type,
        content.authenticated_data,
        cipher.seal(nonce, sender_data, aad),
        ciphertext,
    )


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A decrypted message, not yet verified, and the key that it used."""

    authenticated: AuthenticatedContent
    key: MessageKey


def unprotect_private(
    suite: CipherSuite,
    sender_data_secret: SenderDataSecret,
    secret_tree: SecretTree,
    tree: RatchetTree,
    message: PrivateMessage,
) -> Unprotected:
    """Decrypt a message; no key is used up before `SecretTree.accept`."""
    aad = _sender_data_aad(message.group_id, message.epoch, message.content_type)
    cipher, nonce = _sender_data_cipher(suite, sender_data_secret, message.ciphertext)
    sender_data = cipher.open(nonce, message.encrypted_sender_data, aad)
    if len(sender_data) != _SENDER_DATA_SIZE:
        raise AuthenticationError(Code.CRYPTO_TAG, "SenderData")
    leaf_index = LeafIndex(int.from_bytes(sender_data[:4]))
    # V0611 §6.3.2: "the recipient MUST verify that the leaf index indicated in the `leaf_index`
    # field identifies a non-blank node"
    require(tree.leaf(leaf_index) is not None, Rule.SENDER_DATA_LEAF)
    generation = int.from_bytes(sender_data[4:8])
    key = secret_tree.find(leaf_index, ratchet_kind(message.content_type), generation)
    plaintext = suite.cipher(key.key).open(
        _guarded(key.nonce, sender_data[8:]),
        message.ciphertext,
        aad + encode_opaque(message.authenticated_data),
    )
    return Unprotected(_read_content(message, leaf_index, plaintext), key)


def _read_content(
    message: PrivateMessage, leaf_index: LeafIndex, plaintext: bytes
) -> AuthenticatedContent:
    """PrivateMessageContent: what is said, its authentication, and zeros."""
    reader = Reader(plaintext)
    body = read_body(reader, message.content_type)
    encoded_body = reader.since(0)
    auth = AuthData.read(reader, message.content_type)
    padding = reader.rest()
    # V0610 §6.3.1: "A receiver MUST verify that there are no non-zero bytes in the `padding` field,
    # and if this check fails, the enclosing PrivateMessage MUST be rejected as malformed."
    if padding.strip(b"\x00"):
        raise RuleBroken(Rule.PADDING_IS_ZERO)
    content = FramedContent.of(
        message.group_id,
        message.epoch,
        Sender.member(leaf_index),
        message.authenticated_data,
        body,
        encoded_body,
    )
    return AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, content, auth)
