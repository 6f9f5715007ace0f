"""Kinds about whole groups: §12.4."""

from __future__ import annotations

from parlour.mls.private.events import ReceivedProposal
from parlour.mls.private.group import Group
from parlour.mls.private.identity import Identity, KeyPackageBundle
from parlour.mls.private.joining import WelcomeJoin
from parlour.mls.private.key_schedule import confirmation_tag
from parlour.mls.private.processing import StagedCommit
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secrets import ExternalPsk
from parlour.mls.private.welcoming import open_welcome
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.suites import find_suite
from parlour.mls.public.welcome import Welcome
from tests.vectors.mls.crypto import Case, raw, signing_key
from tests.vectors.mls.tree import LENIENT

NOW = 1_700_000_000


def _key_package(data: bytes) -> KeyPackage:
    message = decode_message(data)
    assert isinstance(message, KeyPackageMessage)
    return message.key_package


def welcome(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    key_package = _key_package(raw(case, "key_package"))
    size = suite.hpke.kem.private_key_size
    init_key = suite.hpke.kem.decode_private_key(raw(case, "init_priv").rjust(size, b"\0"))
    leaf = key_package.leaf_node
    identity = Identity(leaf.credential, suite.signing_key_type.generate(), suite)
    bundle = KeyPackageBundle(key_package, init_key, init_key, identity)
    message = decode_message(raw(case, "welcome"))
    assert isinstance(message, Welcome)
    opened = open_welcome(message, (bundle,), PskStore())
    info = opened.group_info
    signer = suite.decode_verifying_key(raw(case, "signer_pub"))
    signer.verify(info.signature, info.signed_data(suite))
    secrets, _ = opened.schedule.epoch(info.group_context)
    tag = confirmation_tag(suite, secrets.confirmation_key, info.group_context)
    assert tag == info.confirmation_tag


def passive_client(case: Case) -> None:
    """Join by the Welcome, then follow every epoch, and agree with the authenticators."""
    suite = find_suite(case["cipher_suite"])
    key_package = _key_package(raw(case, "key_package"))
    kem, leaf = suite.hpke.kem, key_package.leaf_node
    init_key, leaf_key = (
        kem.decode_private_key(raw(case, name).rjust(kem.private_key_size, b"\0"))
        for name in ("init_priv", "encryption_priv")
    )
    identity = Identity(
        leaf.credential,
        signing_key(suite, raw(case, "signature_priv")),
        suite,
        leaf.capabilities,
        leaf.content.extensions,
    )
    assert identity.signer.public_key.to_bytes() == leaf.signature_key
    assert leaf_key.public_key.to_bytes() == leaf.encryption_key
    psks = PskStore(resumption_epochs=1_000)
    for psk in case["external_psks"]:
        psks.add_external(raw(psk, "psk_id"), ExternalPsk(raw(psk, "psk")))
    tree = case.get("ratchet_tree")
    group = Group.join(
        raw(case, "welcome"),
        [KeyPackageBundle(key_package, init_key, leaf_key, identity)],
        NOW,
        WelcomeJoin(LENIENT, psks, None if tree is None else bytes.fromhex(tree)),
    )
    assert group.epoch_authenticator.reveal() == raw(case, "initial_epoch_authenticator")
    for epoch in case["epochs"]:
        for proposal in epoch["proposals"]:
            assert isinstance(group.process(bytes.fromhex(proposal), NOW), ReceivedProposal)
        assert isinstance(group.process(raw(epoch, "commit"), NOW), StagedCommit)
        assert group.epoch_authenticator.reveal() == raw(epoch, "epoch_authenticator")
