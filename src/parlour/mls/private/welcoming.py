"""Welcomes: made by a committer, opened by a new member.

Spec: RFC 9420 §12.4.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from parlour.codec import Reader, Writer, decode
from parlour.errors import AuthenticationError
from parlour.mls.private.committing import NewCommit
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.private.key_schedule import Schedule, welcome_cipher
from parlour.mls.private.psk import PskStore, find_welcome_psks
from parlour.mls.private.secrets import JoinerSecret, PathSecret
from parlour.mls.public.commit import HpkeCiphertext
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.limits import MAX_HASH, MAX_PSKS
from parlour.mls.public.psk_id import PreSharedKeyId, ResumptionPskId
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.types import ResumptionPskUsage
from parlour.mls.public.welcome import EncryptedGroupSecrets, Welcome
from parlour.primitives.random import Random

_LABEL: Final = b"Welcome"


@dataclass(frozen=True, slots=True)
class GroupSecrets:
    """What a Welcome holds for one new member.

    ::

        struct {
          opaque joiner_secret<V>;
          optional<PathSecret> path_secret;
          PreSharedKeyID psks<V>;
        } GroupSecrets;
    """

    joiner_secret: JoinerSecret
    path_secret: PathSecret | None
    psks: tuple[PreSharedKeyId, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode them."""
        joiner = JoinerSecret(reader.opaque(MAX_HASH))
        path_secret = reader.optional(lambda inner: PathSecret(inner.opaque(MAX_HASH)))
        return cls(joiner, path_secret, tuple(reader.vector(PreSharedKeyId.read, MAX_PSKS)))

    def encode(self) -> bytes:
        """Encode them."""
        writer = Writer().opaque(self.joiner_secret.reveal())
        secret = None if self.path_secret is None else self.path_secret.reveal()
        writer.optional(secret, Writer.opaque)
        return writer.opaque(b"".join(psk.encode() for psk in self.psks)).data()


def make_welcome(commit: NewCommit, group_info: bytes, random: Random) -> Welcome:
    """The Welcome for all whom a commit adds, with an encoded GroupInfo of its epoch."""
    suite = commit.epoch.suite
    cipher, nonce = welcome_cipher(suite, commit.welcome_secret)
    sealed_info = cipher.seal(nonce, group_info)
    # The context of every recipient is the same long ciphertext: it is hashed once.
    info = suite.encryption_info(_LABEL, sealed_info)
    entries = []
    common = GroupSecrets(commit.joiner_secret, None, commit.changes.psks)
    encoded = common.encode()
    for leaf_index, key_package in commit.changes.added:
        if commit.path is not None:
            secret = commit.path.secret_for(commit.epoch.leaf_index, leaf_index)
            encoded = GroupSecrets(common.joiner_secret, secret, common.psks).encode()
        key = key_package.hpke_init_key(suite)
        pair = suite.encrypt_with_label(key, info, encoded, random)
        entry = EncryptedGroupSecrets(key_package.reference(suite), HpkeCiphertext(*pair))
        entries.append(entry)
    return Welcome(suite.id, tuple(entries), sealed_info)


@dataclass(frozen=True, slots=True)
class OpenedWelcome:
    """A Welcome that was for us: verified by nobody yet but the one who made it."""

    bundle: KeyPackageBundle
    secrets: GroupSecrets
    schedule: Schedule
    group_info: GroupInfo = field(repr=False)

    @property
    def link(self) -> ResumptionPskId | None:
        """The PSK that ties a reinitialized or branched group to its origin."""
        return find_link(self.secrets.psks)


def find_link(psks: tuple[PreSharedKeyId, ...]) -> ResumptionPskId | None:
    """The PSK with usage `reinit` or `branch` among those of a Welcome."""
    links = [
        psk.key
        for psk in psks
        if isinstance(psk.key, ResumptionPskId)
        and psk.key.usage is not ResumptionPskUsage.APPLICATION
    ]
    # V1257 §12.4.3.1: "if a PreSharedKeyID has type `resumption` with usage `reinit` or `branch`,
    # verify that it is the only such PSK"
    require(len(links) <= 1, Rule.WELCOME_ONE_LINK)
    return links[0] if links else None


def open_welcome(
    welcome: Welcome, bundles: tuple[KeyPackageBundle, ...], psks: PskStore
) -> OpenedWelcome:
    """Find our entry, open the secrets in it, and with them the GroupInfo."""
    bundle, entry = _find_entry(welcome, bundles)
    suite = bundle.identity.suite
    info = suite.encryption_info(_LABEL, welcome.encrypted_group_info)
    sealed = entry.encrypted_group_secrets
    try:
        opened = suite.decrypt_with_label(
            bundle.init_key, info, sealed.kem_output, sealed.ciphertext
        )
        secrets = decode(opened, GroupSecrets.read)
        find_link(secrets.psks)
        schedule = Schedule.begin(
            suite, secrets.joiner_secret, find_welcome_psks(suite, psks, secrets.psks)
        )
        cipher, nonce = welcome_cipher(suite, schedule.welcome_secret)
        group_info = decode(cipher.open(nonce, welcome.encrypted_group_info), GroupInfo.read)
    except AuthenticationError as error:
        # V1258 §12.4.3.1: "Decrypt the `encrypted_group_secrets` value with the algorithms
        # indicated by the cipher suite and the private key `init_key_priv` corresponding to
        # `init_key` in the referenced KeyPackage."
        raise RuleBroken(Rule.WELCOME_OPENS) from error
    # V1255 §12.4.3.1: "Verify that the `cipher_suite` in the GroupInfo matches the `cipher_suite`
    # in the KeyPackage."
    same = group_info.group_context.cipher_suite == suite.id
    require(same, Rule.WELCOME_CIPHER_SUITE)
    return OpenedWelcome(bundle, secrets, schedule, group_info)


def _find_entry(
    welcome: Welcome, bundles: tuple[KeyPackageBundle, ...]
) -> tuple[KeyPackageBundle, EncryptedGroupSecrets]:
    known = {
        bundle.reference: bundle
        for bundle in bundles
        if bundle.key_package.cipher_suite == welcome.cipher_suite
    }
    # V1254 §12.4.3.1: "If no such field exists, or if the cipher suite indicated in the KeyPackage
    # does not match the one in the Welcome message, return an error."
    for entry in welcome.secrets:
        if entry.new_member in known:
            return known[entry.new_member], entry
    raise RuleBroken(Rule.WELCOME_NOT_FOR_US)
