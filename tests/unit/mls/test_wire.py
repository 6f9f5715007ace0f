"""Structures as they are written: what decodes, what is refused, and never anything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from parlour.codec import Reader, Writer, decode, encode_opaque
from parlour.errors import Code, DecodeError, LimitError, UsageError
from parlour.mls import BasicCredential, RuleBroken, find_suite
from parlour.mls.public.capabilities import Capabilities, RequiredCapabilities
from parlour.mls.public.commit import Commit, HpkeCiphertext, HpkeCiphertexts
from parlour.mls.public.credentials import X509Credential, read_credential
from parlour.mls.public.extensions import Extension, Extensions, write_extensions
from parlour.mls.public.framing.content import (
    AuthenticatedContent,
    FramedContent,
    Sender,
    read_content_type,
)
from parlour.mls.public.framing.messages import decode_message
from parlour.mls.public.group_context import ExternalSender, GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_CERTIFICATES, MAX_LEAVES, MAX_MESSAGE
from parlour.mls.public.proposals import OtherProposal, Remove, encode_proposal, read_proposal
from parlour.mls.public.psk_id import (
    ExternalPskId,
    PreSharedKeyId,
    ResumptionPskId,
)
from parlour.mls.public.suites import ALL_SUITES, CipherSuiteId
from parlour.mls.public.tree import draft as draft_module
from parlour.mls.public.tree import extension as extension_module
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.tree.extension import read_nodes
from parlour.mls.public.tree.math import common_ancestor, is_ancestor, subtree_leaves
from parlour.mls.public.tree.nodes import ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, LeafNodeSource, ResumptionPskUsage, SenderType
from tests.mls_forger import fresh_key, key_package, leaf_node
from tests.mls_people import NOW, Person, group_of


def malformed(call: Callable[[], object], code: Code = Code.DECODE_MALFORMED) -> None:
    with pytest.raises(DecodeError) as caught:
        call()
    assert caught.value.code is code


def test_enumerations_refuse_what_is_not_in_them() -> None:
    malformed(lambda: Sender.read(Reader(b"\x05")))
    malformed(lambda: read_content_type(Reader(b"\x00")))
    malformed(lambda: AuthenticatedContent.read(Reader(b"\x00\x09")))
    malformed(lambda: decode(b"\x01\x03\x00", lambda r: Commit.read(Reader(b"\x01\x03"))))
    malformed(lambda: PreSharedKeyId.read(Reader(b"\x03")))
    malformed(lambda: PreSharedKeyId.read(Reader(b"\x02\x04")))
    malformed(lambda: GroupContext.read(Reader(b"\x00\x02")), Code.DECODE_VERSION)
    malformed(lambda: find_suite(0), Code.DECODE_VERSION)
    leaf = leaf_node(Person("ada"))
    at = leaf.encoded.index(leaf.content.capabilities.encode()) + len(
        leaf.content.capabilities.encode()
    )
    broken = leaf.encoded[:at] + b"\x04" + leaf.encoded[at + 1 :]
    malformed(lambda: LeafNode.read(Reader(broken)))


def test_messages_are_bounded() -> None:
    malformed(lambda: decode_message(bytes(MAX_MESSAGE + 1)), Code.DECODE_OVERSIZED)
    malformed(lambda: decode_message(b""), Code.DECODE_TRUNCATED)
    data = Person("ada").key_package().message
    malformed(lambda: decode_message(data + b"\x00"), Code.DECODE_TRAILING)


def test_credentials() -> None:
    chain = X509Credential((b"one", b"two"))
    assert decode(chain.encode(), read_credential) == chain
    other = Writer().uint16(0x0A0A).opaque(b"?").data()
    assert decode(other, read_credential).encode() == other
    most = X509Credential((b"",) * MAX_CERTIFICATES)
    assert decode(most.encode(), read_credential) == most
    long = X509Credential((b"",) * (MAX_CERTIFICATES + 1))
    malformed(lambda: decode(long.encode(), read_credential), Code.DECODE_TRAILING)


def test_pre_shared_key_ids() -> None:
    for key in (ExternalPskId(b"id"), ResumptionPskId(ResumptionPskUsage.BRANCH, b"group", 7)):
        psk_id = PreSharedKeyId(key, b"nonce")
        assert decode(psk_id.encode(), PreSharedKeyId.read) == psk_id


def test_extensions() -> None:
    extensions = Extensions.of([Extension(1, b"a"), Extension(2, b"b")])
    assert [item.extension_data for item in extensions] == [b"a", b"b"]
    assert extensions.with_(Extension(1, b"c")).types == (2, 1)
    assert extensions.find(2) == b"b"
    assert extensions.find(3) is None
    writer = Writer()
    write_extensions(writer, extensions)
    assert decode(writer.data(), Extensions.read) == extensions


def test_capabilities() -> None:
    encoded = Capabilities(proposals=(0xF0F0,)).encode()
    assert decode(encoded, Capabilities.read) == Capabilities(proposals=(0xF0F0,))
    with pytest.raises(DecodeError) as caught:
        decode(b"\x03\0\1\0" + bytes(4), Capabilities.read)
    assert caught.value.code is Code.DECODE_TRUNCATED


def test_required_capabilities() -> None:
    required = RequiredCapabilities((1,), (2, 3), (4,))
    assert decode(required.encode(), RequiredCapabilities.read) == required
    assert RequiredCapabilities.of(Extensions()) is None
    trailing = Extensions.of([Extension(3, required.encode() + b"\x00")])
    malformed(lambda: RequiredCapabilities.of(trailing), Code.DECODE_TRAILING)


def test_external_senders() -> None:
    sender = ExternalSender(b"key", BasicCredential(b"server"))
    assert decode(sender.encode(), ExternalSender.read) == sender


def test_proposals_that_are_not_known() -> None:
    other = OtherProposal(0x0A0A, b"content")
    assert decode(encode_proposal(other), read_proposal) == other
    remove = Remove(LeafIndex(3))
    assert decode(encode_proposal(remove), read_proposal) == remove


def test_framed_content_keeps_its_spelling() -> None:
    for sender in (Sender(SenderType.EXTERNAL, 3), Sender(SenderType.NEW_MEMBER_PROPOSAL)):
        content = FramedContent.of(b"group", 1, sender, b"aad", Remove(LeafIndex(1)))
        again = decode(content.encoded, FramedContent.read)
        assert again == content
        assert again.encoded_body == encode_proposal(Remove(LeafIndex(1)))
    application = FramedContent.of(b"group", 1, Sender.member(LeafIndex(0)), b"", b"text")
    assert decode(application.encoded, FramedContent.read).body == b"text"


# --- Ciphertexts of one size, and of others ---


def test_ciphertexts_of_one_size_are_not_read_one_by_one() -> None:
    items = [HpkeCiphertext(bytes((n,)) * 32, bytes((n,)) * 48) for n in range(9)]
    vector = HpkeCiphertexts.of(items)
    assert len(vector) == 9
    assert [vector[n] for n in range(9)] == items
    assert vector == HpkeCiphertexts.of(items)
    assert hash(vector) == hash(HpkeCiphertexts.of(items))
    assert vector != HpkeCiphertexts.of(items[1:])
    long = [HpkeCiphertext(b"k" * 1120, b"c" * 64)] * 3
    assert [*map(HpkeCiphertexts.of(long).__getitem__, range(3))] == long


def test_ciphertexts_of_many_sizes() -> None:
    items = [HpkeCiphertext(b"k" * n, b"c" * (n + 1)) for n in range(5)]
    vector = HpkeCiphertexts.of(items)
    assert len(vector) == 5
    assert [vector[n] for n in range(5)] == items
    assert len(HpkeCiphertexts(b"")) == 0
    # Two sizes whose sum is a multiple of the first.
    mixed = [HpkeCiphertext(b"", b"a"), HpkeCiphertext(b"a", b""), HpkeCiphertext(b"", b"b")]
    assert [HpkeCiphertexts.of(mixed)[n] for n in range(3)] == mixed


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x05abc", Code.DECODE_TRUNCATED),
        (b"\x01a", Code.DECODE_TRUNCATED),
        (b"\x01a\x05", Code.DECODE_TRUNCATED),
        (b"\xc0", Code.DECODE_MALFORMED),
        (b"\x01a\xc0", Code.DECODE_MALFORMED),
    ],
)
def test_ciphertexts_that_end_early(data: bytes, code: Code) -> None:
    malformed(lambda: HpkeCiphertexts(data), code)


def test_more_ciphertexts_than_leaves() -> None:
    malformed(lambda: HpkeCiphertexts(b"\x00\x00" * (MAX_LEAVES + 1)), Code.DECODE_OVERSIZED)
    long = HpkeCiphertext(b"k" * 9000, b"c")
    malformed(lambda: HpkeCiphertexts.of([long]), Code.DECODE_OVERSIZED)


# --- Trees ---


def test_trees_that_do_not_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    malformed(lambda: read_nodes(encode_opaque(b"\x02")), Code.DECODE_TRUNCATED)
    malformed(lambda: read_nodes(encode_opaque(b"\x01\x03")))
    malformed(lambda: read_nodes(encode_opaque(b"\x02\x01")))
    malformed(lambda: read_nodes(b"\x01\x00\x00"), Code.DECODE_TRAILING)
    monkeypatch.setattr(extension_module, "MAX_NODES", 2)
    malformed(lambda: read_nodes(encode_opaque(b"\x00" * 3)), Code.DECODE_OVERSIZED)


def test_trees_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_LEAVES", 2)
    ada, bea = group_of("ada", "bea")
    draft = TreeDraft(ada.group.current.tree)
    with pytest.raises(LimitError):
        draft.add_leaf(leaf_node(Person("cid")))
    assert bea.group.current.tree != object()


@pytest.mark.parametrize(("position", "most"), [(1, 2), (3, 4), (5, 2)])
def test_no_more_leaves_are_unmerged_than_stand_below(position: int, most: int) -> None:
    """A tree is read before anything says who made it; it takes no more memory than a tree can."""
    leaf = b"\x01\x01" + leaf_node(Person("ada")).encoded

    def tree_with(node: ParentNode) -> bytes:
        return encode_opaque(b"\x00" * position + b"\x01\x02" + node.encoded + leaf)

    leaves = tuple(map(LeafIndex, range(most + 1)))
    allowed = ParentNode(b"key", b"", leaves[:-1])
    assert read_nodes(tree_with(allowed))[position] == allowed
    malformed(lambda: read_nodes(tree_with(ParentNode(b"key", b"", leaves))), Code.DECODE_OVERSIZED)


def test_a_draft_leaves_its_base_alone() -> None:
    ada, *_ = group_of("ada", "bea", "cid")
    base = ada.group.current.tree
    before = base.tree_hash()
    draft = TreeDraft(base)
    assert draft.holds_any([ada.group.current.own_leaf.encryption_key])
    assert not draft.holds_any([fresh_key(ada)])
    draft.remove_leaf(LeafIndex(2))
    draft.truncate()
    assert draft.leaf_count == 2
    middle = draft.freeze()
    draft = TreeDraft(middle)
    newcomer = leaf_node(Person("dan"))
    assert draft.add_leaf(newcomer) == 2
    assert draft.holds_any([newcomer.encryption_key])
    after = draft.freeze()
    assert (base.tree_hash(), base.member_count) == (before, 3)
    assert (middle.member_count, after.member_count) == (2, 3)
    assert after.leaf(2) == newcomer
    assert after.leaf(-1) is after.leaf(9) is None
    draft = TreeDraft(after)
    draft.set_node(0, after.node(0))
    assert draft.freeze() == after
    same = RatchetTree.of_nodes(after.suite, [after.node(n) for n in range(7)])
    assert same == after
    assert len({same, after}) == 1


def test_positions() -> None:
    assert common_ancestor(4, 4) == 4
    assert common_ancestor(0, 6) == 3
    assert is_ancestor(3, 5)
    assert not is_ancestor(5, 3)
    assert subtree_leaves(5) == (2, 4)


def test_key_packages_and_leaves_compare_by_their_bytes() -> None:
    cid = Person("cid")
    package = key_package(cid)
    again = decode(package.encoded, type(package).read)
    assert again == package
    assert len({again, package}) == 1
    assert package != key_package(cid)
    assert package.leaf_node != package


# --- Suites ---


@pytest.mark.parametrize(
    ("suite_id", "key_size", "hash_size"),
    [
        (CipherSuiteId.X25519_AES128GCM_SHA256_ED25519, 16, 32),
        (CipherSuiteId.P256_AES128GCM_SHA256_P256, 16, 32),
        (CipherSuiteId.X25519_CHACHA20POLY1305_SHA256_ED25519, 32, 32),
        (CipherSuiteId.X448_AES256GCM_SHA512_ED448, 32, 64),
        (CipherSuiteId.P521_AES256GCM_SHA512_P521, 32, 64),
        (CipherSuiteId.X448_CHACHA20POLY1305_SHA512_ED448, 32, 64),
        (CipherSuiteId.P384_AES256GCM_SHA384_P384, 32, 48),
        (CipherSuiteId.XWING_AES128GCM_SHA256_ED25519, 16, 32),
        (CipherSuiteId.XWING_AES256GCM_SHA384_ED25519, 32, 48),
    ],
)
def test_key_lengths_in_a_running_group(
    suite_id: CipherSuiteId, key_size: int, hash_size: int
) -> None:
    suite = find_suite(suite_id)
    ada, bea = group_of("ada", "bea", suite=suite)
    message = ada.group.encrypt(b"text")
    member = bea.group.member
    key = member.secret_tree.find(LeafIndex(0), 1, 0)
    assert len(key.key) == key_size
    assert len(member.epoch.secrets.init_secret.reveal()) == hash_size
    assert len(member.epoch.context.tree_hash) == hash_size
    assert bea.group.decrypt(message, NOW).data == b"text"


@pytest.mark.parametrize("source", [LeafNodeSource.UPDATE, LeafNodeSource.COMMIT])
def test_a_leaf_made_within_a_group_is_bound_to_it(source: LeafNodeSource) -> None:
    ada, _ = group_of("ada", "bea")
    leaf = leaf_node(ada, source)
    bound = leaf.signed_data(ada.suite, b"group", LeafIndex(0))
    assert bound != leaf.signed_data(ada.suite, b"group", LeafIndex(1))
    assert bound != leaf.signed_data(ada.suite, b"other", LeafIndex(0))
    for group_id, index in ((None, LeafIndex(0)), (b"group", None)):
        with pytest.raises(UsageError):
            leaf.signed_data(ada.suite, group_id, index)


def test_suites() -> None:
    assert len(ALL_SUITES) == 9
    assert repr(find_suite(1)) == "CipherSuite(X25519_AES128GCM_SHA256_ED25519)"
    suite = find_suite(1)
    for n in range(300):
        assert len(suite.derive_secret(b"s" * 32, b"label %d" % n)) == 32


def test_rules_say_their_names() -> None:
    with pytest.raises(RuleBroken) as caught:
        Extensions.of([Extension(1, b""), Extension(1, b"")])
    assert "V1301 extensions_unique" in str(caught.value)
