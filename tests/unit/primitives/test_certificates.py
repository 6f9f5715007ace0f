"""Certificates that TLS accepts, pins that outlive them, and files that do not parse."""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from parlour.errors import AuthenticationError, Code, ParlourError, UsageError
from parlour.primitives.certificates import (
    BACKDATE,
    Certificate,
    key_pin,
    private_key_from_pem,
    private_key_to_pem,
    spki_pin,
)
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import EcdsaP256PrivateKey

YEAR = 365 * 24 * 3600
NOW = 1_900_000_000
KEY = EcdsaP256PrivateKey.generate()
NAMES = ("chat.example.org", "localhost", "127.0.0.1", "::1")


def made(key: EcdsaP256PrivateKey = KEY, now: int = NOW) -> Certificate:
    return Certificate.self_signed(key, names=NAMES, now=now, valid_for=10 * YEAR)


def test_what_it_says() -> None:
    certificate = made()
    assert certificate.names == NAMES
    assert certificate.not_before == NOW - BACKDATE
    assert certificate.not_after == NOW + 10 * YEAR
    parsed = x509.load_der_x509_certificate(certificate.to_bytes())
    assert parsed.version is x509.Version.v3
    assert parsed.issuer == parsed.subject
    assert parsed.signature_hash_algorithm is not None
    assert parsed.signature_hash_algorithm.name == "sha256"
    parsed.verify_directly_issued_by(parsed)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    assert not parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_serials_come_from_the_given_randomness_and_are_positive() -> None:
    certificate = Certificate.self_signed(
        KEY, names=["a"], now=NOW, valid_for=YEAR, random=lambda size: b"\xff" * size
    )
    serial = x509.load_der_x509_certificate(certificate.to_bytes()).serial_number
    assert serial == int.from_bytes(b"\x01" + b"\xff" * 16)
    assert made() != made()


def signed_by_others(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(NOW, UTC))
        .not_valid_after(datetime.fromtimestamp(NOW + YEAR, UTC))
        .sign(key, digest)
        .public_bytes(serialization.Encoding.DER)
    )


def test_the_key_of_a_certificate() -> None:
    assert made().subject_public_key == KEY.public_key.to_bytes()
    edwards = ed25519.Ed25519PrivateKey.generate()
    certificate = Certificate(signed_by_others(edwards))
    assert certificate.subject_public_key == edwards.public_key().public_bytes_raw()
    foreign = Certificate(signed_by_others(rsa.generate_private_key(65537, 2048)))
    assert foreign.subject_public_key == b""


def test_the_pin_is_of_the_key_and_survives_renewal() -> None:
    first, renewed = made(), made(now=NOW + YEAR)
    assert first != renewed
    assert first.spki_pin == renewed.spki_pin == key_pin(KEY.public_key)
    assert spki_pin(first.to_bytes()) == first.spki_pin
    assert made(EcdsaP256PrivateKey.generate()).spki_pin != first.spki_pin
    # SubjectPublicKeyInfo of RFC 5480: the fixed head of P-256, then the point.
    head = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
    assert first.spki_pin == sha256(head + KEY.public_key.to_bytes())


def test_pem_both_ways() -> None:
    certificate = made()
    again = Certificate.from_pem(certificate.to_pem())
    assert again == certificate
    assert len({again, certificate}) == 1
    assert again != certificate.to_bytes()
    assert repr(certificate) == f"Certificate(pin={certificate.spki_pin.hex()})"
    assert private_key_from_pem(private_key_to_pem(KEY)).to_bytes() == KEY.to_bytes()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_python_speaks_tls_1_3_with_it(tmp_path: Path, name: str, strict: bool) -> None:
    now = int(datetime.now(UTC).timestamp())
    certificate = made(now=now)
    chain = tmp_path / "server.pem"
    chain.write_bytes(certificate.to_pem() + private_key_to_pem(KEY))
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.minimum_version = ssl.TLSVersion.TLSv1_3
    server_context.load_cert_chain(chain)
    client_context = ssl.create_default_context(cadata=certificate.to_pem().decode())
    if strict:
        client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = {client, server}
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    seen = client.getpeercert(binary_form=True)
    assert seen is not None
    assert spki_pin(seen) == certificate.spki_pin
    assert client.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("names", "now", "valid_for"),
    [
        ([], NOW, YEAR),
        (["a"] * 101, NOW, YEAR),
        (["bücher.example"], NOW, YEAR),
        (["a"], NOW, 0),
        (["a"], NOW, -YEAR),
        (["a"], -(1 << 40), YEAR),
        (["a"], 1 << 40, YEAR),
        (["a"], NOW, 1 << 62),
        (["a"], NOW, 1 << 70),
        (["a"], -40 * YEAR, YEAR),  # before 1950, which X.509 cannot say in UTCTime
    ],
)
def test_bad_arguments(names: list[str], now: int, valid_for: int) -> None:
    with pytest.raises(UsageError):
        Certificate.self_signed(KEY, names=names, now=now, valid_for=valid_for)


def foreign(*extensions: x509.ExtensionType) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "foreign")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder


def test_certificates_of_others_have_pins_too() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = foreign(x509.SubjectAlternativeName([x509.RFC822Name("a@b"), x509.DNSName("b")]))
    signed = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
    certificate = Certificate(signed.public_bytes(serialization.Encoding.DER))
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert certificate.spki_pin == sha256(spki)
    assert certificate.names == ("b",)


def test_a_certificate_without_names() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signed = foreign().public_key(key.public_key()).sign(key, None)
    assert Certificate(signed.public_bytes(serialization.Encoding.DER)).names == ()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_serial_numbers_are_positive() -> None:
    data = made().to_bytes()
    sign = data.index(b"\x02\x11\x01") + 2
    with pytest.raises(AuthenticationError) as caught:
        Certificate(data[:sign] + b"\x81" + data[sign + 1 :])
    assert caught.value.detail == "no positive serial number"


def test_broken_extensions_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    broken = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\x05ab")
    signed = foreign(broken).public_key(key.public_key()).sign(key, hashes.SHA256())
    certificate = Certificate(signed.public_bytes(serialization.Encoding.DER))
    with pytest.raises(AuthenticationError) as caught:
        _ = certificate.names
    assert caught.value.code == Code.CRYPTO_CERTIFICATE


def test_damaged_certificates_never_raise_anything_else() -> None:
    data = made().to_bytes()
    for index in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = data[:index] + bytes((data[index] ^ mask,)) + data[index + 1 :]
            try:
                certificate = Certificate(damaged)
                _ = certificate.names, certificate.not_before, certificate.not_after
            except ParlourError as error:
                assert error.code == Code.CRYPTO_CERTIFICATE  # noqa: PT017


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"garbage", bytes(1000)])
def test_garbage_is_refused(data: bytes) -> None:
    for parse in (Certificate, Certificate.from_pem, spki_pin):
        with pytest.raises(AuthenticationError) as caught:
            parse(data)
        assert caught.value.code == Code.CRYPTO_CERTIFICATE
    with pytest.raises(AuthenticationError) as caught:
        private_key_from_pem(data)
    assert caught.value.code == Code.CRYPTO_KEY


def test_only_unencrypted_p256_keys_are_read() -> None:
    pem = serialization.Encoding.PEM
    pkcs8 = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"password")
    for refused in (
        ed25519.Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, plain),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(pem, pkcs8, plain),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, locked),
        made().to_pem(),
    ):
        with pytest.raises(AuthenticationError):
            private_key_from_pem(refused)
