"""What a client supports, what a group requires, and what all members of a tree support.

Spec: RFC 9420 §7.2 (Capabilities), §11.1 (RequiredCapabilities), §13.5 (GREASE).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from parlour.codec import Reader, encode_opaque
from parlour.errors import Code, DecodeError
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.limits import MAX_CAPABILITIES
from parlour.mls.public.suites import ALL_SUITES
from parlour.mls.public.types import (
    DEFAULT_EXTENSIONS,
    DEFAULT_PROPOSALS,
    GREASE,
    MLS10,
    CredentialType,
    ExtensionType,
)
from parlour.primitives.random import Random

# The members of a group are of a few makes, and GREASE adds one of 15 values: of each list there
# are dozens. Were all of them different and long, they would take 1 MB.
_SHARED_LISTS: Final = 512


def _encode(values: tuple[int, ...]) -> bytes:
    return encode_opaque(struct.pack(f">{len(values)}H", *values))


@lru_cache(_SHARED_LISTS)
def _decode(data: bytes) -> tuple[int, ...]:
    """Equal lists are one object, however many members have them."""
    return struct.unpack(f">{len(data) // 2}H", data)


def _read(reader: Reader) -> tuple[int, ...]:
    data = reader.opaque(2 * MAX_CAPABILITIES)
    if len(data) % 2:
        raise DecodeError(Code.DECODE_TRUNCATED)
    return _decode(data)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the client of a leaf supports; types that everybody supports are not listed.

    ::

        struct {
            ProtocolVersion versions<V>;
            CipherSuite cipher_suites<V>;
            ExtensionType extensions<V>;
            ProposalType proposals<V>;
            CredentialType credentials<V>;
        } Capabilities;
    """

    versions: tuple[int, ...] = (MLS10,)
    cipher_suites: tuple[int, ...] = tuple(int(suite.id) for suite in ALL_SUITES)
    extensions: tuple[int, ...] = (int(ExtensionType.LAST_RESORT_KEY_PACKAGE),)
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = (int(CredentialType.BASIC), int(CredentialType.X509))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode them."""
        return cls(
            _read(reader),
            _read(reader),
            _read(reader),
            _read(reader),
            _read(reader),
        )

    def encode(self) -> bytes:
        """Encode them."""
        return b"".join(
            map(
                _encode,
                (
                    self.versions,
                    self.cipher_suites,
                    self.extensions,
                    self.proposals,
                    self.credentials,
                ),
            )
        )

    def supports_extension(self, extension_type: int) -> bool:
        """Whether the type is listed, or one that everybody supports."""
        return extension_type in DEFAULT_EXTENSIONS or extension_type in self.extensions

    def supports_proposal(self, proposal_type: int) -> bool:
        """Whether the type is listed, or one that everybody supports."""
        return proposal_type in DEFAULT_PROPOSALS or proposal_type in self.proposals

    def meets(self, required: RequiredCapabilities) -> bool:
        """Whether all that a group requires is supported."""
        return (
            all(map(self.supports_extension, required.extension_types))
            and all(map(self.supports_proposal, required.proposal_types))
            and set(required.credential_types) <= set(self.credentials)
        )

    def with_grease(self, random: Random) -> Capabilities:
        """The same with a random unknown value in each extensible list (§13.5)."""
        suite, extension, proposal, credential = (GREASE[b % len(GREASE)] for b in random(4))
        return Capabilities(
            self.versions,
            (*self.cipher_suites, suite),
            (*self.extensions, extension),
            (*self.proposals, proposal),
            (*self.credentials, credential),
        )


@dataclass(frozen=True, slots=True)
class RequiredCapabilities:
    """The extension `required_capabilities` of a GroupContext.

    ::

        struct {
            ExtensionType extension_types<V>;
            ProposalType proposal_types<V>;
            CredentialType credential_types<V>;
        } RequiredCapabilities;
    """

    extension_types: tuple[int, ...] = ()
    proposal_types: tuple[int, ...] = ()
    credential_types: tuple[int, ...] = ()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode them."""
        return cls(
            _read(reader),
            _read(reader),
            _read(reader),
        )

    def encode(self) -> bytes:
        """Encode them."""
        return b"".join(
            map(_encode, (self.extension_types, self.proposal_types, self.credential_types))
        )

    @classmethod
    def of(cls, extensions: Extensions) -> Self | None:
        """Those that a list of GroupContext extensions holds."""
        data = extensions.find(ExtensionType.REQUIRED_CAPABILITIES)
        if data is None:
            return None
        reader = Reader(data)
        required = cls.read(reader)
        reader.finish()
        return required


class Support:
    """How many leaves of a tree support what, so that a commit need not ask each of them."""

    __slots__ = ("_counts", "_in_use", "leaves")

    def __init__(self) -> None:
        self.leaves = 0
        self._counts: dict[tuple[str, int], int] = {}
        self._in_use: dict[int, int] = {}

    def copy(self) -> Support:
        """One that can change by itself."""
        other = Support()
        other.leaves = self.leaves
        other._counts = self._counts.copy()
        other._in_use = self._in_use.copy()
        return other

    def count(self, capabilities: Capabilities, credential_type: int, step: int) -> None:
        """Add (`step` 1) or remove (-1) a leaf."""
        self.leaves += step
        counts = self._counts
        for kind, values in (
            ("extension", capabilities.extensions),
            ("proposal", capabilities.proposals),
            ("credential", capabilities.credentials),
        ):
            for value in set(values):
                counts[kind, value] = counts.get((kind, value), 0) + step
        self._in_use[credential_type] = self._in_use.get(credential_type, 0) + step

    def _by_all(self, kind: str, value: int) -> bool:
        return self._counts.get((kind, value), 0) == self.leaves

    def credential(self, credential_type: int) -> bool:
        """Whether all leaves support the type of credential."""
        return self._by_all("credential", credential_type)

    def extension(self, extension_type: int) -> bool:
        """Whether all leaves support the type of extension."""
        return extension_type in DEFAULT_EXTENSIONS or self._by_all("extension", extension_type)

    def proposal(self, proposal_type: int) -> bool:
        """Whether all leaves support the type of proposal."""
        return proposal_type in DEFAULT_PROPOSALS or self._by_all("proposal", proposal_type)

    def meets(self, required: RequiredCapabilities) -> bool:
        """Whether all leaves support all that is required."""
        return (
            all(map(self.extension, required.extension_types))
            and all(map(self.proposal, required.proposal_types))
            and all(map(self.credential, required.credential_types))
        )

    @property
    def credentials_in_use(self) -> Iterable[int]:
        """The types of the leaves' credentials."""
        return [kind for kind, count in self._in_use.items() if count]
