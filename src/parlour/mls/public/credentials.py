"""Credentials, and who decides about them.

Spec: RFC 9420 §5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from parlour.codec import Reader, Writer
from parlour.errors import AuthenticationError
from parlour.mls.public.limits import MAX_CERTIFICATES, MAX_CREDENTIAL
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.types import CredentialType
from parlour.primitives.certificates import Certificate


@dataclass(frozen=True, slots=True)
class BasicCredential:
    """A bare assertion of an identity, whose format the application defines."""

    identity: bytes

    credential_type = int(CredentialType.BASIC)

    def encode(self) -> bytes:
        """Encode it with its type."""
        return Writer().uint16(self.credential_type).opaque(self.identity).data()


@dataclass(frozen=True, slots=True)
class X509Credential:
    """A chain of DER certificates, the end-entity's first."""

    certificates: tuple[bytes, ...]

    credential_type = int(CredentialType.X509)

    def encode(self) -> bytes:
        """Encode it with its type."""
        writer = Writer().uint16(self.credential_type)
        return writer.vector(self.certificates, Writer.opaque).data()


@dataclass(frozen=True, slots=True)
class OtherCredential:
    """A type that is not known here, with its content as it came, read as `opaque<V>`."""

    credential_type: int
    content: bytes

    def encode(self) -> bytes:
        """Encode it with its type."""
        return Writer().uint16(self.credential_type).opaque(self.content).data()


Credential: TypeAlias = BasicCredential | X509Credential | OtherCredential


def read_credential(reader: Reader) -> Credential:
    """Decode a `Credential`."""
    credential_type = reader.uint16()
    if credential_type == CredentialType.BASIC:
        return BasicCredential(reader.opaque(MAX_CREDENTIAL))
    if credential_type == CredentialType.X509:
        read = Reader(reader.opaque(MAX_CREDENTIAL))
        certificates: list[bytes] = []
        while not read.at_end and len(certificates) < MAX_CERTIFICATES:
            certificates.append(read.opaque())
        read.finish()
        return X509Credential(tuple(certificates))
    return OtherCredential(credential_type, reader.opaque(MAX_CREDENTIAL))


class CredentialValidator(Protocol):
    """The Authentication Service (§5.3.1): the application's decisions about identities."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Whether the credential is valid, and rightly associated with the signature key."""
        ...

    def succeeds(self, old: Credential, new: Credential) -> bool:
        """Whether `new` may replace `old` in one leaf: the same member to the application."""
        ...

    def identity(self, credential: Credential) -> bytes:
        """What the application tells clients apart by; equal for the same client."""
        ...


def check_credential(
    validator: CredentialValidator, credential: Credential, signature_key: bytes
) -> None:
    """Validate a credential that is new in the group (§5.3.1)."""
    if isinstance(credential, X509Credential):
        # V0502 §5.3: "The public key encoded in the `subjectPublicKeyInfo` of the end-entity
        # certificate MUST be identical to the `signature_key` in the LeafNode containing this
        # credential."
        require(_end_entity_key(credential) == signature_key, Rule.CREDENTIAL_X509_KEY)
    # V0501 §5.3.1: "Whenever a new credential is introduced in the group, it MUST be validated
    # with the AS."
    require(validator.accepts(credential, signature_key), Rule.CREDENTIAL_ACCEPTED)


def check_successor(validator: CredentialValidator, old: Credential, new: Credential) -> None:
    """Validate the replacement of a member's credential (§5.3.1)."""
    # V0503 §5.3.1: "the AS MUST also verify that the set of presented identifiers in the new
    # credential is valid as a successor to the set of presented identifiers in the old credential"
    require(old == new or validator.succeeds(old, new), Rule.CREDENTIAL_SUCCESSOR)


def _end_entity_key(credential: X509Credential) -> bytes | None:
    """The key of the first certificate; None if there is none that parses."""
    if not credential.certificates:
        return None
    try:
        return Certificate(credential.certificates[0]).subject_public_key
    except AuthenticationError:
        return None
