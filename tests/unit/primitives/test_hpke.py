"""HPKE: RFC 9180 A.1.1, every KEM and mode, contexts, and what is refused."""

from collections.abc import Callable

import pytest

from parlour.errors import AuthenticationError, Code, InternalError, LimitError, UsageError
from parlour.primitives.hpke import (
    AeadId,
    HpkePrivateKey,
    HpkePublicKey,
    KdfId,
    KemId,
    Psk,
    Suite,
)
from parlour.primitives.hpke.context import MAX_MESSAGES
from parlour.primitives.hpke.kem import KEMS, DhKem
from parlour.primitives.weierstrass import P256

SUITE = Suite(KemId.X25519, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
PSK = Psk(b"k" * 32, b"id")
INFO = b"parlour/1 test info"
DH_KEMS = [KemId.P256, KemId.P384, KemId.P521, KemId.X25519, KemId.X448]
PQ_KEMS = [KemId.ML_KEM_768, KemId.ML_KEM_1024, KemId.X_WING]


def test_rfc_9180_a_1_1() -> None:
    ephemeral = bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
    key = SUITE.kem.derive_key_pair(
        bytes.fromhex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037")
    )
    assert key.to_bytes().hex() == (
        "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
    )
    encapsulated, context = SUITE.setup_sender(
        key.public_key,
        info=bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"),
        random=lambda _: ephemeral,
    )
    assert encapsulated.hex() == (
        "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
    )
    plaintext = b"Beauty is truth, truth beauty"
    assert context.seal(plaintext, b"Count-0").hex() == (
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )
    assert context.seal(plaintext, b"Count-1").hex() == (
        "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84"
    )
    assert context.export(b"TestContext", 32).hex() == (
        "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931"
    )


@pytest.mark.parametrize("kem_id", list(KemId))
def test_every_kem_says_its_sizes_and_agrees_with_itself(kem_id: KemId) -> None:
    suite = Suite(kem_id, KdfId.HKDF_SHA384, AeadId.CHACHA20_POLY1305)
    kem = suite.kem
    key = kem.decode_private_key(kem.generate_key_pair().to_bytes())
    public = kem.decode_public_key(key.public_key.to_bytes())
    encapsulated, ciphertext = suite.seal(public, b"text", info=INFO, associated_data=b"data")
    assert kem.kem_id == kem_id
    assert len(key.to_bytes()) == kem.private_key_size
    assert len(public.to_bytes()) == kem.public_key_size
    assert len(encapsulated) == kem.encapsulated_size
    opened = suite.open(key, encapsulated, ciphertext, info=INFO, associated_data=b"data")
    assert opened == b"text"


@pytest.mark.parametrize("kem_id", list(KemId))
def test_derived_key_pairs_are_deterministic_and_bound_to_the_kem(kem_id: KemId) -> None:
    kem = KEMS[kem_id]
    key = kem.derive_key_pair(b"i" * 64)
    assert key.to_bytes() == kem.derive_key_pair(b"i" * 64).to_bytes()
    assert key.to_bytes() != kem.derive_key_pair(b"j" * 64).to_bytes()
    others = {KEMS[other].derive_key_pair(b"i" * 64).to_bytes() for other in KemId}
    assert len(others) == len(KemId)


@pytest.mark.parametrize("aead_id", [i for i in AeadId if i != AeadId.EXPORT_ONLY])
@pytest.mark.parametrize("kdf_id", list(KdfId))
@pytest.mark.parametrize("psk", [None, PSK])
@pytest.mark.parametrize("authenticated", [False, True])
def test_every_mode_kdf_and_aead(
    kdf_id: KdfId, aead_id: AeadId, psk: Psk | None, authenticated: bool
) -> None:
    suite = Suite(KemId.X25519, kdf_id, aead_id)
    key, sender = suite.kem.generate_key_pair(), suite.kem.generate_key_pair()
    encapsulated, ciphertext = suite.seal(
        key.public_key, b"text", info=INFO, psk=psk, sender=sender if authenticated else None
    )
    opened = suite.open(
        key,
        encapsulated,
        ciphertext,
        info=INFO,
        psk=psk,
        sender=sender.public_key if authenticated else None,
    )
    assert opened == b"text"


def test_everything_that_is_bound_has_to_be_the_same() -> None:
    key, sender, stranger = (SUITE.kem.generate_key_pair() for _ in range(3))
    encapsulated, ciphertext = SUITE.seal(
        key.public_key, b"text", info=INFO, associated_data=b"data", psk=PSK, sender=sender
    )

    def opened(
        recipient: HpkePrivateKey = key,
        enc: bytes = encapsulated,
        info: bytes = INFO,
        data: bytes = b"data",
        psk: Psk | None = PSK,
        claimed: HpkePublicKey | None = sender.public_key,
        suite: Suite = SUITE,
    ) -> bytes:
        return suite.open(
            recipient,
            enc,
            ciphertext,
            info=info,
            associated_data=data,
            psk=psk,
            sender=claimed,
        )

    assert opened() == b"text"
    attempts: tuple[Callable[[], bytes], ...] = (
        lambda: opened(recipient=stranger),
        lambda: opened(enc=stranger.public_key.to_bytes()),
        lambda: opened(info=b"other"),
        lambda: opened(data=b"other"),
        lambda: opened(psk=None),
        lambda: opened(psk=Psk(b"x" * 32, b"id")),
        lambda: opened(psk=Psk(b"k" * 32, b"other")),
        lambda: opened(claimed=stranger.public_key),
        lambda: opened(claimed=None),
        lambda: opened(suite=Suite(KemId.X25519, KdfId.HKDF_SHA256, AeadId.AES_256_GCM)),
        lambda: opened(suite=Suite(KemId.X25519, KdfId.HKDF_SHA512, AeadId.AES_128_GCM)),
    )
    for attempt in attempts:
        with pytest.raises(AuthenticationError) as caught:
            attempt()
        assert caught.value.code == Code.CRYPTO_TAG


def test_a_long_info_is_hashed_once_for_many_messages() -> None:
    suite = Suite(KemId.X25519, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    key = suite.kem.generate_key_pair()
    info = bytes(100_000)
    encapsulated, sealed = suite.seal(key.public_key, b"text", info=suite.hash_info(info))
    assert suite.open(key, encapsulated, sealed, info=info) == b"text"
    assert suite.open(key, encapsulated, sealed, info=suite.hash_info(info)) == b"text"


def test_contexts_carry_messages_in_order() -> None:
    key = SUITE.kem.generate_key_pair()
    encapsulated, sender = SUITE.setup_sender(key.public_key, info=INFO, psk=PSK)
    recipient = SUITE.setup_recipient(key, encapsulated, info=INFO, psk=PSK)
    sealed = [sender.seal(b"text", b"data") for _ in range(3)]
    assert len(set(sealed)) == 3
    assert recipient.open(sealed[0], b"data") == b"text"
    for wrong, data in ((sealed[0], b"data"), (sealed[2], b"data"), (sealed[1], b"date")):
        with pytest.raises(AuthenticationError):
            recipient.open(wrong, data)
    # What was refused moved nothing.
    assert recipient.open(sealed[1], b"data") == b"text"
    assert recipient.open(sealed[2], b"data") == b"text"
    assert sender.export(b"use", 40) == recipient.export(b"use", 40)
    assert sender.export(b"use", 40) != sender.export(b"abuse", 40)
    with pytest.raises(UsageError):
        sender.export(b"use", 255 * 32 + 1)
    assert repr(sender) == "SenderContext([secret], sequence=3)"


def test_a_context_ends_before_its_nonces_do() -> None:
    key = SUITE.kem.generate_key_pair()
    _, sender = SUITE.setup_sender(key.public_key, info=INFO)
    sender._sequence = MAX_MESSAGES - 1
    sender.seal(b"the last one")
    with pytest.raises(LimitError):
        sender.seal(b"one too many")


def test_export_only() -> None:
    suite = Suite(KemId.X25519, KdfId.HKDF_SHA256, AeadId.EXPORT_ONLY)
    key = suite.kem.generate_key_pair()
    encapsulated, sender = suite.setup_sender(key.public_key, info=INFO)
    recipient = suite.setup_recipient(key, encapsulated, info=INFO)
    assert sender.export(b"", 16) == recipient.export(b"", 16)
    for attempt in (
        lambda: sender.seal(b""),
        lambda: recipient.open(bytes(16)),
        lambda: suite.seal(key.public_key, b"", info=INFO),
        lambda: suite.open(key, encapsulated, bytes(16), info=INFO),
    ):
        with pytest.raises(UsageError):
            attempt()


def test_psks_are_long_and_named_and_do_not_show() -> None:
    for key, key_id in ((b"k" * 15, b"id"), (b"", b"id"), (b"k" * 32, b"")):
        with pytest.raises(UsageError):
            Psk(key, key_id)
    assert Psk(b"k" * 16, b"id").key_id == b"id"
    assert "kkkk" not in repr(PSK)


@pytest.mark.parametrize("kem_id", list(KemId))
def test_keys_of_another_kem_are_the_callers_mistake(kem_id: KemId) -> None:
    other = KEMS[KemId.P256 if kem_id != KemId.P256 else KemId.P384].generate_key_pair()
    suite = Suite(kem_id, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    key = suite.kem.generate_key_pair()
    enc, ciphertext = suite.seal(key.public_key, b"", info=INFO)
    for attempt in (
        lambda: suite.seal(other.public_key, b"", info=INFO),
        lambda: suite.open(other, enc, ciphertext, info=INFO),
        lambda: suite.seal(key.public_key, b"", info=INFO, sender=other),
        lambda: suite.open(key, enc, ciphertext, info=INFO, sender=other.public_key),
    ):
        with pytest.raises(UsageError):
            attempt()


@pytest.mark.parametrize("kem_id", PQ_KEMS)
def test_post_quantum_kems_authenticate_by_psk_only(kem_id: KemId) -> None:
    suite = Suite(kem_id, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    key = suite.kem.generate_key_pair()
    with pytest.raises(UsageError):
        suite.seal(key.public_key, b"", info=INFO, sender=suite.kem.generate_key_pair())
    encapsulated, ciphertext = suite.seal(key.public_key, b"text", info=INFO, psk=PSK)
    assert suite.open(key, encapsulated, ciphertext, info=INFO, psk=PSK) == b"text"
    with pytest.raises(AuthenticationError):
        suite.open(key, encapsulated, ciphertext, info=INFO)


@pytest.mark.parametrize("kem_id", list(KemId))
def test_malformed_encapsulations_and_keys_are_refused(kem_id: KemId) -> None:
    suite = Suite(kem_id, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    key = suite.kem.generate_key_pair()
    for size in (0, 1, suite.kem.encapsulated_size - 1, suite.kem.encapsulated_size + 1):
        with pytest.raises(AuthenticationError):
            suite.open(key, bytes(size), bytes(16), info=INFO)
    with pytest.raises(AuthenticationError):
        suite.kem.decode_public_key(b"\x04" * (suite.kem.public_key_size + 1))
    with pytest.raises(AuthenticationError):
        suite.kem.decode_private_key(b"\x04" * (suite.kem.private_key_size + 1))


@pytest.mark.parametrize("kem_id", [KemId.X25519, KemId.X448])
def test_low_order_points_are_refused_on_both_sides(kem_id: KemId) -> None:
    suite = Suite(kem_id, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    zero = bytes(suite.kem.public_key_size)
    with pytest.raises(AuthenticationError):
        suite.seal(suite.kem.decode_public_key(zero), b"", info=INFO)
    with pytest.raises(AuthenticationError):
        suite.open(suite.kem.generate_key_pair(), zero, bytes(16), info=INFO)


def test_derivation_tries_the_next_candidate_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    kem = KEMS[KemId.P256]
    assert isinstance(kem, DhKem)
    first = kem.derive_key_pair(b"i" * 32).to_bytes()
    real = type(P256).is_scalar
    monkeypatch.setattr(
        type(P256), "is_scalar", lambda curve, data: data != first and real(curve, data)
    )
    second = kem.derive_key_pair(b"i" * 32).to_bytes()
    assert second != first
    monkeypatch.setattr(type(P256), "is_scalar", lambda curve, data: False)
    with pytest.raises(InternalError):
        kem.derive_key_pair(b"i" * 32)
