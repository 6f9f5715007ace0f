"""AES-GCM and ChaCha20-Poly1305: known answers, refusals, sizes."""

import mmap
from typing import cast

import pytest

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.aead import MAX_SIZE, Aead, AesGcm, ChaChaPoly, open_, seal

NONCE = bytes(12)

CIPHERS = [AesGcm(bytes(16)), AesGcm(bytes(32)), ChaChaPoly(bytes(32))]


def test_aes_gcm_test_case_4_of_its_specification() -> None:
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    data = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    ciphertext = bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc"
        "3221a5db94fae95ae7121a47"
    )
    assert seal(key, nonce, plaintext, data) == ciphertext
    assert open_(key, nonce, ciphertext, data) == plaintext


def test_chacha20_poly1305_of_rfc_8439_2_8_2() -> None:
    cipher = ChaChaPoly(bytes(range(0x80, 0xA0)))
    nonce = bytes.fromhex("070000004041424344454647")
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    data = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    sealed = cipher.seal(nonce, plaintext, data)
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert cipher.open(nonce, sealed, data) == plaintext


@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_was_not_sealed_is_refused(cipher: Aead) -> None:
    sealed = cipher.seal(NONCE, b"text", b"data")
    assert len(sealed) == 4 + 16
    refused = [
        (NONCE, sealed[:-1], b"data"),
        (NONCE, sealed + b"\x00", b"data"),
        (NONCE, bytes((sealed[0] ^ 1,)) + sealed[1:], b"data"),
        (NONCE, sealed[:-1] + bytes((sealed[-1] ^ 1,)), b"data"),
        (NONCE, sealed, b"date"),
        (NONCE, sealed, b""),
        (b"\x01" + NONCE[1:], sealed, b"data"),
        (NONCE, b"", b"data"),
        (NONCE, b"short", b"data"),
    ]
    for nonce, ciphertext, data in refused:
        with pytest.raises(AuthenticationError) as caught:
            cipher.open(nonce, ciphertext, data)
        assert caught.value.code == Code.CRYPTO_TAG
        assert caught.value.detail == ""
    assert cipher.open(NONCE, sealed, b"data") == b"text"


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 8, 11, 13, 16])
def test_nonces_have_96_bits(cipher: Aead, size: int) -> None:
    with pytest.raises(UsageError):
        cipher.seal(bytes(size), b"")
    with pytest.raises(UsageError):
        cipher.open(bytes(size), bytes(16))


@pytest.mark.parametrize("size", [0, 15, 24, 33])
def test_key_sizes(size: int) -> None:
    for cipher in (AesGcm, ChaChaPoly):
        with pytest.raises(UsageError):
            cipher(bytes(size))


@pytest.mark.parametrize("cipher", CIPHERS)
def test_two_gigabytes_are_too_many(cipher: Aead) -> None:
    # Pages that nobody touches take no memory: the size is refused first.
    with mmap.mmap(-1, MAX_SIZE + 1) as pages:
        huge = cast("bytes", pages)
        for text, data in ((huge, b""), (b"", huge)):
            with pytest.raises(UsageError):
                cipher.seal(NONCE, text, data)
            with pytest.raises(AuthenticationError):
                cipher.open(NONCE, text, data)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_ciphers_do_not_show_their_key(cipher: Aead) -> None:
    assert repr(cipher) == f"{type(cipher).__name__}([secret])"
