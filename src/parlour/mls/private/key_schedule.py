"""The key schedule: from one epoch's secrets to the next.

Spec: RFC 9420 §8, §8.3, §8.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.mls.private.secrets import (
    CommitSecret,
    ConfirmationKey,
    EncryptionSecret,
    EpochAuthenticator,
    ExporterSecret,
    ExternalSecret,
    InitSecret,
    JoinerSecret,
    MembershipKey,
    PskSecret,
    ResumptionPsk,
    SenderDataSecret,
    WelcomeSecret,
)
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.suites import AEAD_NONCE_SIZE, CipherSuite
from parlour.primitives.aead import Aead
from parlour.primitives.hpke import HpkePrivateKey
from parlour.primitives.random import Random

# RFC 5869 §2.3.
_MAX_BLOCKS: Final = 255
_EXTERNAL_INIT: Final = b"MLS 1.0 external init secret"


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """What an epoch keeps. Its epoch_secret and encryption_secret are gone by then (§9.2)."""

    init_secret: InitSecret
    sender_data_secret: SenderDataSecret
    exporter_secret: ExporterSecret
    external_secret: ExternalSecret
    confirmation_key: ConfirmationKey
    membership_key: MembershipKey
    resumption_psk: ResumptionPsk
    epoch_authenticator: EpochAuthenticator


def derive_joiner_secret(
    suite: CipherSuite, init: InitSecret, commit: CommitSecret, context: GroupContext
) -> JoinerSecret:
    """From the last epoch's `init_secret` and this commit's entropy."""
    extracted = suite.extract(init.reveal(), commit.reveal())
    size = suite.hash_size
    return JoinerSecret(suite.expand_with_label(extracted, b"joiner", context.encoded, size))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The member secret of an epoch, from which everything else comes; dropped soon."""

    suite: CipherSuite
    _member_secret: bytes

    @classmethod
    def begin(cls, suite: CipherSuite, joiner: JoinerSecret, psk: PskSecret) -> Schedule:
        """Mix the pre-shared keys in."""
        return cls(suite, suite.extract(joiner.reveal(), psk.reveal()))

    @property
    def welcome_secret(self) -> WelcomeSecret:
        """Known to joiners before they know the GroupContext."""
        return WelcomeSecret(self.suite.derive_secret(self._member_secret, b"welcome"))

    def epoch(self, context: GroupContext) -> tuple[EpochSecrets, EncryptionSecret]:
        """The secrets of the epoch that `context` describes."""
        size = self.suite.hash_size
        secret = self.suite.expand_with_label(self._member_secret, b"epoch", context.encoded, size)
        return epoch_secrets(self.suite, secret)

    def __repr__(self) -> str:
        return "Schedule([secret])"


def epoch_secrets(suite: CipherSuite, epoch_secret: bytes) -> tuple[EpochSecrets, EncryptionSecret]:
    """All that is derived from an `epoch_secret` (table 4)."""

    def derive(label: bytes) -> bytes:
        return suite.derive_secret(epoch_secret, label)

    secrets = EpochSecrets(
        InitSecret(derive(b"init")),
        SenderDataSecret(derive(b"sender data")),
        ExporterSecret(derive(b"exporter")),
        ExternalSecret(derive(b"external")),
        ConfirmationKey(derive(b"confirm")),
        MembershipKey(derive(b"membership")),
        ResumptionPsk(derive(b"resumption")),
        EpochAuthenticator(derive(b"authentication")),
    )
    return secrets, EncryptionSecret(derive(b"encryption"))


def confirmation_tag(suite: CipherSuite, key: ConfirmationKey, context: GroupContext) -> bytes:
    """§6.1: the MAC of the confirmed transcript hash."""
    return suite.mac(key.reveal(), context.confirmed_transcript_hash)


def export(
    suite: CipherSuite, secret: ExporterSecret, label: bytes, context: bytes, length: int
) -> bytes:
    """MLS-Exporter (§8.5); as many bytes as HKDF can make, 255 hashes."""
    if not 0 < length <= _MAX_BLOCKS * suite.hash_size:
        raise UsageError(Code.USAGE_INVALID, f"no {length} bytes can be exported")
    derived = suite.derive_secret(secret.reveal(), label)
    return suite.expand_with_label(derived, b"exported", suite.hash(context), length)


def welcome_cipher(suite: CipherSuite, secret: WelcomeSecret) -> tuple[Aead, bytes]:
    """The cipher and the nonce of `encrypted_group_info` (§12.4.3.1)."""
    value = secret.reveal()
    key = suite.expand_with_label(value, b"key", b"", suite.key_size)
    return suite.cipher(key), suite.expand_with_label(value, b"nonce", b"", AEAD_NONCE_SIZE)


def external_key_pair(suite: CipherSuite, secret: ExternalSecret) -> HpkePrivateKey:
    """The key pair whose public half is `external_pub` (§8)."""
    return suite.hpke.kem.derive_key_pair(secret.reveal())


def seal_init_secret(
    suite: CipherSuite, external_pub: bytes, random: Random
) -> tuple[bytes, InitSecret]:
    """§8.3, by who joins: `(kem_output, init_secret)`."""
    key = suite.decode_encryption_key(external_pub)
    kem_output, context = suite.hpke.setup_sender(key, info=b"", random=random)
    return kem_output, InitSecret(context.export(_EXTERNAL_INIT, suite.hash_size))


def open_init_secret(
    suite: CipherSuite, external_secret: ExternalSecret, kem_output: bytes
) -> InitSecret | None:
    """§8.3, by a member; None if the output is none of this KEM."""
    key = external_key_pair(suite, external_secret)
    try:
        context = suite.hpke.setup_recipient(key, kem_output, info=b"")
    except AuthenticationError:
        return None
    return InitSecret(context.export(_EXTERNAL_INIT, suite.hash_size))
