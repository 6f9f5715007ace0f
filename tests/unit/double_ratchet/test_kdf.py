from parlour.double_ratchet import kdf, labels
from parlour.primitives.hashes import hmac_sha256
from parlour.primitives.kdf import hkdf


def test_chain_step_is_two_hmacs() -> None:
    key = bytes(range(32))
    assert kdf.step_chain(key) == (
        hmac_sha256(key, labels.CHAIN_KEY),
        hmac_sha256(key, labels.MESSAGE_KEY),
    )


def test_root_step_takes_the_root_key_as_salt() -> None:
    expected = hkdf(b"s" * 32, salt=b"r" * 32, info=labels.ROOT_STEP, length=96)
    assert kdf.step_root(b"r" * 32, b"s" * 32, 96) == expected


def test_agreed_secret_is_kept_apart_from_points() -> None:
    expected = hkdf(b"\xff" * 32 + b"dh", salt=bytes(32), info=b"label", length=32)
    assert kdf.agreed_secret(b"dh", b"label") == expected


def test_seal_depends_on_salt_and_label() -> None:
    seals = set()
    for salt in (b"a" * 16, b"b" * 16):
        for label in (b"one", b"two"):
            cipher, nonce = kdf.derive_seal(b"k" * 32, salt, label)
            assert len(nonce) == 12
            seals.add((nonce, cipher.seal(nonce, b"text")))
    assert len(seals) == 4
