"""The server's side of registration and login.

Order: `register`, `finish_registration`; or `begin` with KE1 in and KE2 out, `finish` with KE3.
Both legs of a login must meet the same `LoginAttempt`, which lives in memory only: keep it with
the connection. What is random here is drawn inside the OPAQUE library, from the operating system.

Nobody learns whether an account exists. For an unknown user the same work is done on a decoy
record, which depends on nothing but a key of the server and the name, so that asking twice, today
and in a year, shows no difference; and a failed login has one error, whatever failed.

Spec: RFC 9807 §5, §6, §6.3.2.2 (fake records), §10.9 (client enumeration).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import opaque_snake

from parlour.errors import AccessError, Code, DecodeError, UsageError
from parlour.login import labels
from parlour.login.binding import LoginContext, bind, transcript_hash
from parlour.login.keys import OpaqueKey, SessionKey
from parlour.login.names import account_name
from parlour.login.setup import decoy_public_key, load_setup
from parlour.login.sizes import (
    KE1_SIZE,
    KE3_SIZE,
    RECORD_SIZE,
    RECORD_VERSION,
    REGISTRATION_REQUEST_SIZE,
    REGISTRATION_UPLOAD_SIZE,
    check_size,
)
from parlour.primitives.hashes import equal
from parlour.primitives.kdf import hkdf_expand

# Long enough for a slow device to stretch and answer, short enough that abandoned attempts, which
# hold key material, do not pile up.
ATTEMPT_SECONDS: Final = 60
DECOY_KEY_SIZE: Final = 32

_MASKING_KEY_SIZE: Final = 64
_ENVELOPE_SIZE: Final = 96


class LoginAttempt:
    """One login between KE2 and KE3. It ends once, whatever the outcome."""

    __slots__ = ("_decoy", "_ke1", "_ke2", "_started", "_state", "user")

    def __init__(
        self,
        state: opaque_snake.ServerLoginState,
        *,
        user: str,
        messages: tuple[bytes, bytes],
        started: int,
        decoy: bool,
    ) -> None:
        self.user = user
        self._state: opaque_snake.ServerLoginState | None = state
        self._ke1, self._ke2 = messages
        self._started = started
        self._decoy = decoy

    def expired(self, now: int) -> bool:
        """Whether KE3 comes too late; a clock that went back counts as too late."""
        return not 0 <= now - self._started <= ATTEMPT_SECONDS

    def __repr__(self) -> str:
        # Not whether it is a decoy: a log would then tell who exists.
        return f"LoginAttempt(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A login that succeeded: the shared key, and 32 bytes for `LoginProof.confirm`.

    `transcript` (32 bytes) is the hash of the three messages, for the proof of a device.
    """

    session_key: SessionKey
    confirmation: bytes
    transcript: bytes


class OpaqueServer:
    """Registration and login under one setup (`generate_setup`) and one decoy key (32 bytes).

    Neither secret may ever change: a new setup locks every account out, and a new decoy key shows
    by the difference which names are decoys. Raises `UsageError` if they are not such secrets.
    """

    __slots__ = ("_decoy_key", "_decoy_public_key", "_server")

    def __init__(self, setup: bytes, decoy_key: bytes) -> None:
        if len(decoy_key) != DECOY_KEY_SIZE:
            raise UsageError(Code.USAGE_CONFIG, f"a decoy key has {DECOY_KEY_SIZE} bytes")
        self._server = load_setup(setup)
        self._decoy_public_key = decoy_public_key(setup)
        self._decoy_key = decoy_key

    def register(self, request: bytes, user: str) -> bytes:
        """Answer a registration request (32 bytes) of `user` with 64 bytes; nothing is kept.

        Only over a confidential connection that proved who the server is. A registration shows
        whether a name is taken: limit its rate. Raises `DecodeError`.
        """
        name = account_name(user)
        check_size(request, REGISTRATION_REQUEST_SIZE)
        try:
            message = opaque_snake.RegistrationRequest.from_bytes(bytes(request))
        except opaque_snake.SerializationError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "registration request") from error
        return self._server.create_registration_response(message, name).to_bytes()

    def finish_registration(self, upload: bytes) -> bytes:
        """Check an upload (192 bytes) and return the record to store: version byte and upload.

        Raises `DecodeError`.
        """
        check_size(upload, REGISTRATION_UPLOAD_SIZE)
        try:
            message = opaque_snake.RegistrationUpload.from_bytes(bytes(upload))
        except opaque_snake.SerializationError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "registration upload") from error
        record = self._server.finish_registration(message).to_bytes()
        return bytes((RECORD_VERSION,)) + record

    def begin(
        self, ke1: bytes, user: str, record: bytes | None, *, now: int
    ) -> tuple[bytes, LoginAttempt]:
        """Answer KE1 (96 bytes) with KE2 (320 bytes); `record` is None for an unknown user.

        The server counts this as a failed login until `finish` says otherwise: a guesser learns
        from KE2 whether the password was right (RFC 9807 §9.2). Raises `DecodeError` for KE1, and
        for a record that is damaged or of an unknown version (``decode.version``).
        """
        name = account_name(user)
        check_size(ke1, KE1_SIZE)
        try:
            message = opaque_snake.CredentialRequest.from_bytes(bytes(ke1))
        except opaque_snake.SerializationError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "KE1") from error
        # The decoy is made in any case, so that its cost does not tell who exists.
        decoy = self._decoy_record(name)
        password_file = _read_record(decoy if record is None else record)
        response, state = self._server.create_credential_response(message, name, password_file)
        ke2 = response.to_bytes()
        attempt = LoginAttempt(
            state, user=name, messages=(bytes(ke1), ke2), started=now, decoy=record is None
        )
        return ke2, attempt

    def finish(
        self, attempt: LoginAttempt, ke3: bytes, binding: bytes, context: LoginContext, *, now: int
    ) -> Accepted:
        """Check KE3 (64 bytes) and the client's binding (32 bytes) against our own `context`.

        Raises `AccessError`: ``login.expired`` after 60 s; ``login.failed`` for a wrong password,
        an unknown user, an attempt used before or a KE3 of the wrong size; ``login.binding`` for
        the right password meant for another server, device or channel.
        """
        state, attempt._state = attempt._state, None
        if attempt.expired(now):
            raise AccessError(Code.LOGIN_EXPIRED)
        if state is None or len(ke3) != KE3_SIZE:
            raise AccessError(Code.LOGIN_FAILED)
        message = opaque_snake.CredentialFinalization.from_bytes(bytes(ke3))
        try:
            keys = self._server.finish_login(message, state)
        except opaque_snake.OpaqueError:
            raise AccessError(Code.LOGIN_FAILED) from None
        if attempt._decoy:
            # Who kept the private half of the decoy's key comes this far, and no further.
            raise AccessError(Code.LOGIN_FAILED)
        transcript = transcript_hash(attempt._ke1, attempt._ke2, bytes(ke3))
        expected = bind(OpaqueKey(keys.session_key), context=context, transcript=transcript)
        if context.user != attempt.user or not equal(binding, expected.client_tag):
            raise AccessError(Code.LOGIN_BINDING)
        return Accepted(expected.session_key, expected.server_tag, transcript)

    def _decoy_record(self, user: str) -> bytes:
        """A record like any other from outside: a key nobody has, a masking key, an envelope.

        Of the three only the masking key shows, and only through a pad under a fresh nonce.
        """
        masking_key = hkdf_expand(
            self._decoy_key, labels.DECOY + b"\x00" + user.encode(), _MASKING_KEY_SIZE, "sha512"
        )
        parts = (bytes((RECORD_VERSION,)), self._decoy_public_key, masking_key)
        return b"".join(parts) + bytes(_ENVELOPE_SIZE)


def _read_record(record: bytes) -> opaque_snake.PasswordFile:
    if record[:1] and record[0] != RECORD_VERSION:
        raise DecodeError(Code.DECODE_VERSION, f"login record of version {record[0]}")
    check_size(record, RECORD_SIZE)
    try:
        return opaque_snake.PasswordFile.from_bytes(bytes(record[1:]))
    except opaque_snake.SerializationError as error:
        raise DecodeError(Code.DECODE_MALFORMED, "login record") from error
