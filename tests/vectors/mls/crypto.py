"""Kinds about the key schedule and what is below it: §5, §8, §9, appendix C."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import load_der_private_key

from parlour.codec import Reader, decode
from parlour.codec.varint import decode_varint, encode_varint
from parlour.mls.private.key_schedule import (
    Schedule,
    confirmation_tag,
    derive_joiner_secret,
    export,
    external_key_pair,
)
from parlour.mls.private.protection import sender_data_keys
from parlour.mls.private.psk import derive_psk_secret
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import (
    CommitSecret,
    ConfirmationKey,
    EncryptionSecret,
    ExternalPsk,
    InitSecret,
    PskSecret,
    SenderDataSecret,
)
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.framing.content import AuthenticatedContent
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.transcript import confirmed_transcript_hash, interim_transcript_hash
from parlour.mls.public.tree import math
from parlour.mls.public.types import LeafIndex
from parlour.primitives.random import system_random
from parlour.primitives.signature import SignaturePrivateKey

Case = dict[str, Any]


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def signing_key(suite: CipherSuite, data: bytes) -> SignaturePrivateKey:
    """A private key; a scalar that lost its leading zeros gets them back.

    Some store an Edwards key as its seed and its public half, some as PKCS #8.
    """
    size = {1: 32, 2: 32, 3: 32, 4: 57, 5: 66, 6: 57, 7: 48}.get(int(suite.id), 32)
    if len(data) > size and len(data) != 2 * size:
        data = _unwrap(data)
    if len(data) == 2 * size:
        data = data[:size]
    return suite.signing_key_type(data.rjust(size, b"\0"))


def _unwrap(data: bytes) -> bytes:
    """The bare key in an encoding that names its algorithm."""
    key = load_der_private_key(data, None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    assert isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return key.private_bytes_raw()


def tree_math(case: Case) -> None:
    leaves = case["n_leaves"]
    width = math.node_width(leaves)
    assert width == case["n_nodes"]
    root = math.root(leaves)
    assert root == case["root"]
    for i in range(width):
        leaf = math.level(i) == 0
        assert case["left"][i] == (None if leaf else math.left(i))
        assert case["right"][i] == (None if leaf else math.right(i))
        assert case["parent"][i] == (None if i == root else math.parent(i))
        assert case["sibling"][i] == (None if i == root else math.sibling(i))


def crypto_basics(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    v = case["ref_hash"]
    assert suite.ref_hash(v["label"].encode(), raw(v, "value")) == raw(v, "out")
    v = case["expand_with_label"]
    assert raw(v, "out") == suite.expand_with_label(
        raw(v, "secret"), v["label"].encode(), raw(v, "context"), v["length"]
    )
    v = case["derive_secret"]
    assert suite.derive_secret(raw(v, "secret"), v["label"].encode()) == raw(v, "out")
    v = case["derive_tree_secret"]
    assert raw(v, "out") == suite.derive_tree_secret(
        raw(v, "secret"), v["label"].encode(), v["generation"], v["length"]
    )
    v = case["sign_with_label"]
    key = suite.decode_verifying_key(raw(v, "pub"))
    label, content = v["label"].encode(), raw(v, "content")
    assert suite.verify_with_label(key, label, raw(v, "signature"), content)
    assert not suite.verify_with_label(key, label + b"x", raw(v, "signature"), content)
    signature = suite.sign_with_label(signing_key(suite, raw(v, "priv")), label, content)
    assert suite.verify_with_label(key, label, signature, content)
    v = case["encrypt_with_label"]
    private = suite.hpke.kem.decode_private_key(raw(v, "priv"))
    public = suite.decode_encryption_key(raw(v, "pub"))
    info = suite.encryption_info(v["label"].encode(), raw(v, "context"))
    opened = suite.decrypt_with_label(private, info, raw(v, "kem_output"), raw(v, "ciphertext"))
    assert opened == raw(v, "plaintext")
    sealed = suite.encrypt_with_label(public, info, opened, system_random)
    assert suite.decrypt_with_label(private, info, *sealed) == opened


def secret_tree(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    v = case["sender_data"]
    secret = SenderDataSecret(raw(v, "sender_data_secret"))
    assert sender_data_keys(suite, secret, raw(v, "ciphertext")) == (raw(v, "key"), raw(v, "nonce"))
    leaves = case["leaves"]
    tree = SecretTree(suite, len(leaves), EncryptionSecret(raw(case, "encryption_secret")))
    for index, generations in enumerate(leaves):
        for entry in generations:
            for kind, name in enumerate(("handshake", "application")):
                found = tree.find(LeafIndex(index), kind, entry["generation"])
                assert (found.key, found.nonce) == (
                    raw(entry, f"{name}_key"),
                    raw(entry, f"{name}_nonce"),
                )
                tree.accept(found)


def key_schedule(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    init = InitSecret(raw(case, "initial_init_secret"))
    for number, v in enumerate(case["epochs"]):
        context = GroupContext(
            suite.id,
            raw(case, "group_id"),
            number,
            raw(v, "tree_hash"),
            raw(v, "confirmed_transcript_hash"),
            Extensions(),
        )
        assert context.encoded == raw(v, "group_context")
        joiner = derive_joiner_secret(suite, init, CommitSecret(raw(v, "commit_secret")), context)
        assert joiner.reveal() == raw(v, "joiner_secret")
        schedule = Schedule.begin(suite, joiner, PskSecret(raw(v, "psk_secret")))
        assert schedule.welcome_secret.reveal() == raw(v, "welcome_secret")
        secrets, encryption = schedule.epoch(context)
        assert encryption.reveal() == raw(v, "encryption_secret")
        for name in secrets.__slots__:
            assert getattr(secrets, name).reveal() == raw(v, name), name
        key = external_key_pair(suite, secrets.external_secret)
        assert key.public_key.to_bytes() == raw(v, "external_pub")
        e = v["exporter"]
        assert raw(e, "secret") == export(
            suite, secrets.exporter_secret, e["label"].encode(), raw(e, "context"), e["length"]
        )
        init = secrets.init_secret


def psk_secret(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    psks = [
        (
            PreSharedKeyId(ExternalPskId(raw(v, "psk_id")), raw(v, "psk_nonce")),
            ExternalPsk(raw(v, "psk")),
        )
        for v in case["psks"]
    ]
    assert derive_psk_secret(suite, psks).reveal() == raw(case, "psk_secret")


def transcript_hashes(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    content = decode(raw(case, "authenticated_content"), AuthenticatedContent.read)
    assert content.encode() == raw(case, "authenticated_content")
    confirmed = confirmed_transcript_hash(
        suite,
        raw(case, "interim_transcript_hash_before"),
        content.wire_format,
        content.content,
        content.auth.signature,
    )
    assert confirmed == raw(case, "confirmed_transcript_hash_after")
    context = GroupContext(suite.id, b"", 0, b"", confirmed, Extensions())
    key = ConfirmationKey(raw(case, "confirmation_key"))
    tag = content.auth.confirmation_tag
    assert tag == confirmation_tag(suite, key, context)
    assert tag is not None
    interim = interim_transcript_hash(suite, confirmed, tag)
    assert interim == raw(case, "interim_transcript_hash_after")


def deserialization(case: Case) -> None:
    header = raw(case, "vlbytes_header")
    assert decode_varint(header, 0) == (case["length"], len(header))
    assert encode_varint(case["length"]) == header
    if case["length"] < 1 << 24:
        assert Reader(header + bytes(case["length"])).opaque() == bytes(case["length"])
