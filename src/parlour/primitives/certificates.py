"""The server's own certificate, and the pin by which clients know its key.

A server without a name in the DNS signs its certificate itself, with a P-256 key: the one kind that
Python's `ssl`, every browser and every WebSocket client accept. Clients trust the pin, SHA-256 of
the SubjectPublicKeyInfo (RFC 7469 §2.4), which stays the same when the certificate is renewed on
the same key.

Spec: RFC 5280. Times are whole seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.hashes import sha256
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import EcdsaP256PrivateKey, EcdsaP256PublicKey
from parlour.primitives.weierstrass import P256

PIN_SIZE: Final = 32
# Clients whose clock is behind accept a fresh certificate all the same.
BACKDATE: Final = 24 * 3600
# A handshake carries the certificate; nobody serves more names than this from one.
MAX_NAMES: Final = 100
# RFC 5280 §4.1.2.2: at most 20 octets, positive. 16 are unique without a counter.
_SERIAL_SIZE: Final = 16
_COMMON_NAME: Final = "Parlour"

# The library warns of some malformed certificates; where warnings are errors, they refuse.
_PARSE_ERRORS: Final = (
    ValueError,
    Warning,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_bytes(public_key: CertificatePublicKeyTypes) -> bytes:
    """The octets of a key whose scheme signs here; of another kind there are none."""
    if isinstance(public_key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return public_key.public_bytes_raw()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return b""


class Certificate:
    """One X.509 certificate. Parsing it proves nothing: compare its `spki_pin`."""

    __slots__ = ("_bytes", "_certificate", "_key", "_spki")

    def __init__(self, data: bytes) -> None:
        """Parse DER."""
        try:
            self._certificate = x509.load_der_x509_certificate(data)
            public_key = self._certificate.public_key()
            self._spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            serial_number = self._certificate.serial_number
            self._key = _key_bytes(public_key)
        except _PARSE_ERRORS as error:
            raise AuthenticationError(Code.CRYPTO_CERTIFICATE, "does not parse") from error
        if serial_number <= 0:
            raise AuthenticationError(Code.CRYPTO_CERTIFICATE, "no positive serial number")
        self._bytes = bytes(data)

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """Parse the first certificate of a PEM file."""
        try:
            certificate = x509.load_pem_x509_certificate(data)
        except _PARSE_ERRORS as error:
            raise AuthenticationError(Code.CRYPTO_CERTIFICATE, "does not parse") from error
        return cls(certificate.public_bytes(Encoding.DER))

    @classmethod
    def self_signed(
        cls,
        key: EcdsaP256PrivateKey,
        *,
        names: Sequence[str],
        now: int,
        valid_for: int,
        random: Random = system_random,
    ) -> Self:
        """Make a certificate for TLS servers, valid from a day before `now`.

        `names` are 1 to 100 host names (ASCII, as in the DNS) and IP addresses; `valid_for` is in
        seconds from `now`. To renew, call it again with the same key: the pin stays.
        """
        if not 0 < len(names) <= MAX_NAMES or valid_for <= 0:
            raise UsageError(Code.USAGE_INVALID, "a certificate has 1 to 100 names and a future")
        library_key = P256.decode_scalar(key.to_bytes())
        try:
            builder = _builder(library_key.public_key(), names, random)
            certificate = (
                builder.not_valid_before(datetime.fromtimestamp(now - BACKDATE, UTC))
                .not_valid_after(datetime.fromtimestamp(now + valid_for, UTC))
                .sign(library_key, hashes.SHA256())
            )
        except (ValueError, OverflowError, OSError) as error:
            raise UsageError(Code.USAGE_INVALID, "a name or a time is not usable") from error
        return cls(certificate.public_bytes(Encoding.DER))

    @property
    def spki_pin(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo, 32 bytes."""
        return sha256(self._spki)

    @property
    def subject_public_key(self) -> bytes:
        """The key itself: an Edwards key's octets, an EC key's point, as in the certificate."""
        return self._key

    @property
    def not_before(self) -> int:
        """The first second of its validity."""
        return int(self._certificate.not_valid_before_utc.timestamp())

    @property
    def not_after(self) -> int:
        """The last second of its validity."""
        return int(self._certificate.not_valid_after_utc.timestamp())

    @property
    def names(self) -> tuple[str, ...]:
        """Host names and addresses of the subjectAltName, in its order; other kinds left out."""
        try:
            extension = self._certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
        except x509.ExtensionNotFound:
            return ()
        except _PARSE_ERRORS as error:
            raise AuthenticationError(Code.CRYPTO_CERTIFICATE, "bad extensions") from error
        return tuple(
            str(name.value)
            for name in extension.value
            if isinstance(name, x509.DNSName | x509.IPAddress)
        )

    def to_bytes(self) -> bytes:
        """DER."""
        return self._bytes

    def to_pem(self) -> bytes:
        """PEM, as TLS servers load it."""
        return self._certificate.public_bytes(Encoding.PEM)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Certificate(pin={self.spki_pin.hex()})"


def _builder(
    public_key: ec.EllipticCurvePublicKey, names: Sequence[str], random: Random
) -> x509.CertificateBuilder:
    """Everything but the times. Strict verifiers want both key identifiers and the usages."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public_key)
        .serial_number(int.from_bytes(b"\x01" + random(_SERIAL_SIZE)))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


def spki_pin(certificate: bytes) -> bytes:
    """The pin of a certificate in DER, as `ssl.SSLSocket.getpeercert(True)` gives it: 32 bytes."""
    return Certificate(certificate).spki_pin


def key_pin(public_key: EcdsaP256PublicKey) -> bytes:
    """The pin that every certificate on this key will have: 32 bytes."""
    library_key = P256.decode_point(public_key.to_bytes())
    return sha256(library_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def private_key_to_pem(key: EcdsaP256PrivateKey) -> bytes:
    """PKCS #8 in PEM, unencrypted, as TLS servers load it. For a file of mode 0600."""
    return P256.decode_scalar(key.to_bytes()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def private_key_from_pem(data: bytes) -> EcdsaP256PrivateKey:
    """Read what `private_key_to_pem` wrote, or another unencrypted P-256 key."""
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthenticationError(Code.CRYPTO_KEY, "no unencrypted key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != P256.library.name:
        raise AuthenticationError(Code.CRYPTO_KEY, "not a P-256 key")
    return EcdsaP256PrivateKey(key.private_numbers().private_value.to_bytes(P256.scalar_size))
