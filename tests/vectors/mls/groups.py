"""Kinds about whole groups: §12.4."""

from __future__ import annotations

from dataclasses import replace

from parlour.codec import decode
from parlour.errors import DecodeError
from parlour.mls import RuleBroken
from parlour.mls.private.events import ReceivedProposal
from parlour.mls.private.group import Group
from parlour.mls.private.identity import Identity, KeyPackageBundle
from parlour.mls.private.joining import Origin, WelcomeJoin
from parlour.mls.private.key_schedule import confirmation_tag
from parlour.mls.private.processing import StagedCommit
from parlour.mls.private.psk import Psk, PskStore
from parlour.mls.private.secrets import ExternalPsk
from parlour.mls.private.welcoming import OpenedWelcome, open_welcome
from parlour.mls.public.credentials import Credential
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.joining import open_group_info
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import ReInit
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import find_suite
from parlour.mls.public.welcome import Welcome
from parlour.testing.mls import TrustEveryone
from tests.compressed_points import compressed_points_are_read
from tests.vectors.mls.crypto import Case, raw, signing_key
from tests.vectors.mls.tree import LENIENT

NOW = 1_700_000_000


def _key_package(data: bytes) -> KeyPackage:
    """A key package, within an MLSMessage or bare: both are called "serialized KeyPackage"."""
    try:
        message = decode_message(data)
    except DecodeError:
        return decode(data, KeyPackage.read)
    assert isinstance(message, KeyPackageMessage)
    return message.key_package


def _welcome(data: bytes) -> Welcome:
    """A Welcome, within an MLSMessage or bare."""
    try:
        message = decode_message(data)
    except DecodeError:
        return decode(data, Welcome.read)
    assert isinstance(message, Welcome)
    return message


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


class ForeignPsks(PskStore):
    """The keys of a case: by their name, and those of other groups by how they are called.

    The form has no field for the resumption keys of the group that a new one replaces or branches
    from. Whoever gives them can only put them among the external ones, under the group's id or
    under the encoded PreSharedKeyID, with its nonce or without.
    """

    def __init__(self, case: Case) -> None:
        super().__init__(resumption_epochs=1_000)
        self.named = {
            raw(psk, "psk_id"): raw(psk, "psk") for psk in case.get("external_psks") or ()
        }
        for psk_id, psk in self.named.items():
            self.add_external(psk_id, ExternalPsk(psk))

    def find(self, psk: PreSharedKeyId) -> Psk | None:
        found = super().find(psk)
        if found is not None or isinstance(psk.key, ExternalPskId):
            return found
        names = (psk.encode(), PreSharedKeyId(psk.key, b"").encode(), psk.key.psk_group_id)
        return next((ExternalPsk(self.named[n]) for n in names if n in self.named), None)


class Anybody(TrustEveryone):
    """Foreign groups hold credentials of every kind, and change them at will."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return True

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True


ANYBODY = replace(LENIENT, credentials=Anybody())


def _origin(opened: OpenedWelcome, tree: bytes | None) -> dict[bytes, Origin | None]:
    """The group that the new one continues, which nobody shows us, as the new one says it was."""
    link = opened.link
    if link is None:
        return {}
    state = open_group_info(opened.group_info, NOW, ANYBODY, tree)
    context = state.group_context
    reinit = ReInit(context.group_id, 1, context.cipher_suite, context.extensions)
    old = replace(context, group_id=link.psk_group_id, epoch=link.psk_epoch)
    return {old.group_id: Origin(replace(state, group_context=old), reinit)}


def passive_client(case: Case) -> None:
    """Join by the Welcome, then follow every epoch, and agree with the authenticators."""
    with compressed_points_are_read(case["cipher_suite"]):
        _follow(case)


def _follow(case: Case) -> None:
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
    leaf.verifying_key(suite).verify(identity.signer.sign(b"ours"), b"ours")
    assert init_key.public_key.to_bytes() == key_package.init_key
    assert leaf_key.public_key.to_bytes() == leaf.encryption_key
    bundle = KeyPackageBundle(key_package, init_key, leaf_key, identity)
    psks = ForeignPsks(case)
    tree = bytes.fromhex(case.get("ratchet_tree") or "") or None
    welcome = _welcome(raw(case, "welcome"))
    origin = _origin(open_welcome(welcome, (bundle,), psks), tree)
    group, _ = Group.join(welcome, [bundle], NOW, WelcomeJoin(ANYBODY, psks, tree, origin))
    assert group.epoch_authenticator.reveal() == raw(case, "initial_epoch_authenticator")
    for epoch in case["epochs"]:
        for proposal in epoch.get("proposals") or ():
            _receive(group, bytes.fromhex(proposal))
        assert isinstance(group.process(raw(epoch, "commit"), NOW), StagedCommit)
        assert group.epoch_authenticator.reveal() == raw(epoch, "epoch_authenticator")


def _receive(group: Group, message: bytes) -> None:
    """One that breaks a rule is dropped: the commit that covers it fails, and no other."""
    try:
        assert isinstance(group.process(message, NOW), ReceivedProposal)
    except RuleBroken as error:
        print(f"dropped a proposal: {error}")
