"""The client's side of registration and login.

Order: `ClientRegistration.start`, then `finish` with the server's response; or `ClientLogin.start`
with KE1 out, `finish` with KE2 in, `LoginProof.confirm` with the server's answer. What is random
here is drawn inside the OPAQUE library, from the operating system; none can be passed in.

Spec: RFC 9807 §5 (registration), §6 (login).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import opaque_snake

from parlour.errors import AccessError, Code, DecodeError, PeerError, UsageError
from parlour.login.binding import LoginContext, bind, registration_transcript, transcript_hash
from parlour.login.keys import ExportKey, OpaqueKey, SessionKey
from parlour.login.sizes import KE2_SIZE, REGISTRATION_RESPONSE_SIZE, check_size
from parlour.login.stretch import Stretched
from parlour.primitives.hashes import equal


@dataclass(frozen=True, slots=True)
class Registration:
    """What comes out of a registration: 192 bytes for the server, and the export key.

    `transcript` (32 bytes) is the hash of the messages, for the proof of a device.
    """

    upload: bytes
    export_key: ExportKey
    transcript: bytes


@dataclass(frozen=True, slots=True)
class LoginProof:
    """What comes out of a login. `ke3` (64 bytes) and `binding` (32) go to the server.

    `transcript` (32 bytes) is the hash of the three messages, for the proof of a device.
    """

    ke3: bytes
    binding: bytes
    session_key: SessionKey
    export_key: ExportKey
    transcript: bytes
    _server_tag: bytes = field(repr=False)

    def confirm(self, confirmation: bytes) -> None:
        """Return if the server's `confirmation` is the one for this login.

        Raises `AccessError` (``login.binding``): the server did not come to the same end.
        """
        if not equal(confirmation, self._server_tag):
            raise AccessError(Code.LOGIN_BINDING, "the server's confirmation")


class ClientRegistration:
    """A registration under way. It ends once."""

    __slots__ = ("_password", "_request", "_state")

    def __init__(
        self, state: opaque_snake.ClientRegistrationState, stretched: Stretched, request: bytes
    ) -> None:
        self._state: opaque_snake.ClientRegistrationState | None = state
        self._password = stretched
        self._request = request

    @classmethod
    def start(cls, stretched: Stretched) -> tuple[Self, bytes]:
        """Begin: the state to keep, and the request of 32 bytes."""
        message, state = opaque_snake.OpaqueClient().start_registration(_text(stretched))
        request = message.to_bytes()
        return cls(state, stretched, request), request

    def finish(self, response: bytes) -> Registration:
        """Take the server's response (64 bytes) in. Holds the interpreter for about 30 ms.

        A response that does not parse raises `DecodeError` and leaves the registration as it
        was. Raises `PeerError` for one that breaks the protocol, `UsageError` the second time.
        """
        check_size(response, REGISTRATION_RESPONSE_SIZE)
        try:
            message = opaque_snake.RegistrationResponse.from_bytes(bytes(response))
        except opaque_snake.SerializationError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "registration response") from error
        state, self._state = self._state, None
        if state is None:
            raise UsageError(Code.USAGE_STATE, "this registration has ended")
        try:
            result = opaque_snake.OpaqueClient().finish_registration(
                message, state, _text(self._password)
            )
        except opaque_snake.OpaqueError as error:
            raise PeerError(Code.SERVER_MISBEHAVED, "registration response") from error
        upload = result.upload.to_bytes()
        transcript = registration_transcript(self._request, bytes(response), upload)
        return Registration(upload, ExportKey(result.export_key), transcript)


class ClientLogin:
    """A login under way. It ends once."""

    __slots__ = ("_ke1", "_password", "_state")

    def __init__(
        self, state: opaque_snake.ClientLoginState, stretched: Stretched, ke1: bytes
    ) -> None:
        self._state: opaque_snake.ClientLoginState | None = state
        self._password = stretched
        self._ke1 = ke1

    @classmethod
    def start(cls, stretched: Stretched) -> tuple[Self, bytes]:
        """Begin: the state to keep, and KE1 of 96 bytes."""
        request, state = opaque_snake.OpaqueClient().start_login(_text(stretched))
        ke1 = request.to_bytes()
        return cls(state, stretched, ke1), ke1

    def finish(self, ke2: bytes, *, context: LoginContext) -> LoginProof:
        """Take KE2 (320 bytes) in. Holds the interpreter for about 30 ms: use a worker thread.

        A KE2 that does not parse raises `DecodeError` and leaves the login as it was. Raises
        `AccessError` (``login.failed``) for a wrong password, an unknown user or a KE2 that was
        tampered with, which nobody can tell apart; `UsageError` the second time.
        """
        check_size(ke2, KE2_SIZE)
        try:
            message = opaque_snake.CredentialResponse.from_bytes(bytes(ke2))
        except opaque_snake.SerializationError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "KE2") from error
        state, self._state = self._state, None
        if state is None:
            raise UsageError(Code.USAGE_STATE, "this login has ended")
        try:
            result = opaque_snake.OpaqueClient().finish_login(message, state, _text(self._password))
        except opaque_snake.OpaqueError:
            raise AccessError(Code.LOGIN_FAILED) from None
        return self._prove(result, bytes(ke2), context)

    def _prove(
        self, result: opaque_snake.LoginResult, ke2: bytes, context: LoginContext
    ) -> LoginProof:
        ke3 = result.finalization.to_bytes()
        keys = result.session_keys
        transcript = transcript_hash(self._ke1, ke2, ke3)
        bound = bind(OpaqueKey(keys.session_key), context=context, transcript=transcript)
        return LoginProof(
            ke3=ke3,
            binding=bound.client_tag,
            session_key=bound.session_key,
            # The library's type allows for a server, which has none.
            export_key=ExportKey(keys.export_key or b""),
            transcript=transcript,
            _server_tag=bound.server_tag,
        )


def _text(stretched: Stretched) -> str:
    """The library takes text: lower-case hexadecimal, part of record version 1."""
    return stretched.reveal().hex()
