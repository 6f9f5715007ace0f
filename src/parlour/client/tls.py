"""TLS to the server: version 1.3 only, and a server that is who it should be.

A server is known by a pin, SHA-256 of the SubjectPublicKeyInfo of its key, or by a certificate
authority and its host name; where neither is known yet, by what it shows (`Shown`). The pin is
checked at the end of the handshake itself, inside it: the connection does not exist for a wrong
key, so that not a single byte of ours goes out under it.

Spec: RFC 8446 (TLS 1.3), RFC 7469 §2.4 (pins of SubjectPublicKeyInfo).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from parlour.errors import Code, ParlourError, SecurityStop, TransportError, UsageError
from parlour.primitives.certificates import spki_pin
from parlour.primitives.hashes import SHA256_SIZE, equal

# HTTP/1.1 is what a WebSocket is opened over; a server that wants HTTP/2 shall not choose it.
_PROTOCOLS: Final = ["http/1.1"]
# What OpenSSL says when the other side has no TLS 1.3.
_VERSION_REASONS: Final = frozenset(
    {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER"}
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Trust whoever holds one of these keys, each pin 32 bytes. Names and dates don't matter."""

    pins: frozenset[bytes]

    def __post_init__(self) -> None:
        if not self.pins or any(len(pin) != SHA256_SIZE for pin in self.pins):
            raise UsageError(Code.USAGE_INVALID, "a pin has 32 bytes, and there is at least one")

    @classmethod
    def of(cls, pins: Iterable[bytes]) -> Pinned:
        """Trust these."""
        return cls(frozenset(pins))


@dataclass(frozen=True, slots=True)
class Authorities:
    """Trust certificates of the system's authorities, or of those in a PEM file, by host name."""

    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """Take whatever key the server shows.

    Only for talks in which every proof names that key, so that nobody in between can pass it on to
    the server it is meant for: OPAQUE's, and the recovery key's (`client.recovery`).
    """


Trust: TypeAlias = Pinned | Authorities | Shown


class PinMismatchError(ssl.SSLError):
    """The server's key is not a pinned one. An `SSLError`, so that a handshake ends by it."""


class _PinnedObject(ssl.SSLObject):
    """The TLS state of a connection whose handshake ends with the comparison of pins."""

    def do_handshake(self) -> None:
        super().do_handshake()
        context = self.context
        if not isinstance(context, _PinnedContext) or not context.accepts(peer_pin(self)):
            raise PinMismatchError("the server's key is not a pinned one")


class _PinnedContext(ssl.SSLContext):
    """A context that knows its pins."""

    sslobject_class = _PinnedObject
    pins: frozenset[bytes] = frozenset()

    def accepts(self, pin: bytes | None) -> bool:
        return pin is not None and any(equal(pin, accepted) for accepted in self.pins)


def client_context(trust: Trust) -> ssl.SSLContext:
    """Make the context for one server. Reads files: call it by `workers.run_slow`.

    Raises `USAGE_CONFIG` for a file of authorities that can't be read.
    """
    # Not `create_default_context`: it writes session keys where an environment variable says.
    if isinstance(trust, Pinned):
        context: ssl.SSLContext = _pinned_context(trust.pins)
    elif isinstance(trust, Shown):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_authorities(context, trust.file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(_PROTOCOLS)
    return context


def _pinned_context(pins: frozenset[bytes]) -> ssl.SSLContext:
    context = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # The pin stands for the certificate, which is self-signed.
    context.verify_mode = ssl.CERT_NONE
    context.pins = pins
    return context


def _load_authorities(context: ssl.SSLContext, file: Path | None) -> None:
    if file is None:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        raise UsageError(Code.USAGE_CONFIG, "the file of authorities can't be read") from error


def peer_pin(connection: ssl.SSLObject | ssl.SSLSocket) -> bytes | None:
    """The pin of the key that the peer has shown; None for none, or one that does not parse."""
    certificate = connection.getpeercert(binary_form=True)
    if not certificate:
        return None
    try:
        return spki_pin(certificate)
    except ParlourError:
        return None


def handshake_error(error: ssl.SSLError) -> ParlourError:
    """The error of ours for a handshake that failed."""
    if isinstance(error, PinMismatchError):
        return SecurityStop(Code.SERVER_PIN)
    if isinstance(error, ssl.SSLCertVerificationError):
        return SecurityStop(Code.SERVER_PIN, f"its certificate: {error.verify_message}")
    # Only OpenSSL's own errors have it.
    reason = getattr(error, "reason", None)
    if reason in _VERSION_REASONS:
        return TransportError(Code.SERVER_VERSION, "the server offers no TLS 1.3")
    return TransportError(Code.NETWORK_UNREACHABLE, f"TLS: {reason}")
