"""All sessions between this device and one other.

Spec: Sesame §3 (its DeviceRecord), §4.2.

Both sides may start a session at once, or lose one and start again. The session that last
initiated or decrypted is the active one, on which we send; the others wait for late messages. As
each side goes over to what the other sends on, both come to the same one after a few messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from parlour.codec import Reader, Writer, decode
from parlour.double_ratchet import agreement, labels, limits
from parlour.double_ratchet.identity import DeviceIdentity, LocalDevice
from parlour.double_ratchet.messages import FirstHeader, Message, decode_message
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.double_ratchet.prekeys import PrekeyBundle
from parlour.double_ratchet.ratchet import NotOfThisSession, Opened
from parlour.double_ratchet.session import Session
from parlour.errors import (
    AuthenticationError,
    Code,
    DecodeError,
    ParlourError,
    PeerError,
    SecurityStop,
    UsageError,
)
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.kem import MlKem1024PublicKey
from parlour.primitives.random import Random

STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Decrypted:
    """A message that was read. `new_session` if it was the first of its session."""

    plaintext: bytes
    session_id: bytes
    new_session: bool


class PeerSessions:
    """The sessions of a device pair. Time (`now`) is in seconds since the epoch.

    Every method that raises leaves everything as it was.
    """

    __slots__ = ("_header_encryption", "_local", "_peer", "_sessions", "_stale_since")

    def __init__(
        self, local: LocalDevice, peer: DeviceIdentity, *, header_encryption: bool = False
    ) -> None:
        if peer.device_id == local.identity.device_id:
            raise UsageError(Code.USAGE_INVALID, "a device has no session with itself")
        self._local = local
        self._peer = peer
        self._header_encryption = header_encryption
        self._sessions: list[Session] = []  # the one used last comes first
        self._stale_since: int | None = None

    @property
    def _active(self) -> Session | None:
        """The session to send on. Retired ones come last, so the first one tells."""
        if self._stale_since is not None or not self._sessions or self._sessions[0].retired:
            return None
        return self._sessions[0]

    @property
    def can_send(self) -> bool:
        """Whether there is a session to send on; otherwise `initiate` needs a bundle."""
        return self._active is not None

    @property
    def peer(self) -> DeviceIdentity:
        """The other device."""
        return self._peer

    # --- Sending ---

    def initiate(
        self,
        bundle: PrekeyBundle,
        now: int,
        random: Random,
        *,
        encapsulate: agreement.Encapsulate = MlKem1024PublicKey.encapsulate,
    ) -> None:
        """Start a session with the peer's prekeys, and send on it from now on.

        `encapsulate` is replaced by test vectors only.

        Raises:
            SecurityStop: the server left out the KEM prekey of a device that has one.
            AuthenticationError: a signature does not verify.
            PeerError: a prekey has expired; the device is stale.
            UsageError: the bundle is another device's.
        """
        if bundle.identity != self._peer:
            raise UsageError(Code.USAGE_INVALID, "the bundle is another device's")
        if self._stale_since is not None:
            raise PeerError(Code.SESSION_STALE, "the device left its account's list")
        bundle.verify(now)
        agreed = agreement.initiate(
            self._local,
            bundle,
            header_encryption=self._header_encryption,
            random=random,
            encapsulate=encapsulate,
        )
        self._insert(Session.initiate(agreed, bundle.signed_prekey.x25519(), now), now)

    def encrypt(self, plaintext: bytes, associated_data: bytes, now: int, random: Random) -> bytes:
        """Encrypt one message on the active session. See `encrypt_batch`."""
        return self.encrypt_batch(((plaintext, associated_data),), now, random)[0]

    def encrypt_batch(
        self, items: Sequence[tuple[bytes, bytes]], now: int, random: Random
    ) -> list[bytes]:
        """Encrypt each `(plaintext, associated data)` on the active session; all or none.

        Store `to_bytes()` before any of the messages leaves.

        Raises:
            PeerError: there is no session to send on (`SESSION_NONE`), or it is too old
                (`SESSION_STALE`): fetch a bundle and `initiate`.
            LimitError: a plaintext is too large.
        """
        session = self._active
        if session is None:
            raise PeerError(Code.SESSION_NONE, "start one with a bundle")
        return session.encrypt(items, now, random)

    # --- Receiving ---

    def decrypt(
        self,
        message: bytes,
        associated_data: bytes,
        prekeys: PrekeyStore,
        now: int,
        random: Random,
    ) -> Decrypted:
        """Decrypt one message of the peer; a first message makes its session.

        `prekeys` loses the one-time keys that a first message used: store it and `to_bytes()`
        in one transaction. `random` is not drawn from now: the next key pair is made when the
        next message is sent.

        Raises:
            DecodeError: the bytes do not parse.
            AuthenticationError: the message is forged (`CRYPTO_TAG`).
            PeerError: no session can read it (`SESSION_NONE`), it was read before
                (`SESSION_REPLAYED`), its key is gone (`SESSION_TOO_OLD`), or a prekey is used up,
                erased or unknown (`PREKEY_…`).
            SecurityStop: a first message without the KEM that this device has.
            LimitError: it skips too many messages (`SESSION_JUMP`).
        """
        decoded = decode_message(message)
        if decoded.first is not None:
            return self._decrypt_first(decoded, decoded.first, associated_data, prekeys, now)
        session, opened = self._try_sessions(decoded, associated_data, now)
        self._commit(session, opened, now)
        return Decrypted(opened.plaintext, session.session_id, new_session=False)

    def _try_sessions(
        self, message: Message, associated_data: bytes, now: int
    ) -> tuple[Session, Opened]:
        """The session that opens `message`; the newest is tried first."""
        failure: ParlourError = PeerError(Code.SESSION_NONE)
        for session in self._sessions:
            if session.suite is not message.suite:
                continue
            try:
                return session, session.open(message, associated_data, now)
            except NotOfThisSession:
                continue
            except ParlourError as error:
                # Another session may still open it, if this one only seemed to be meant.
                failure = error
        raise failure

    def _decrypt_first(
        self,
        message: Message,
        first: FirstHeader,
        associated_data: bytes,
        prekeys: PrekeyStore,
        now: int,
    ) -> Decrypted:
        session_id = first.session_id()
        for session in self._sessions:
            if session.session_id == session_id:
                opened = _open_named(session, message, associated_data, now)
                self._commit(session, opened, now)
                return Decrypted(opened.plaintext, session_id, new_session=False)
        if self._local.identity.has_kem and not message.suite.has_kem:
            raise SecurityStop(Code.PREKEY_DOWNGRADE, "a first message without ML-KEM-1024")
        if self._stale_since is not None:
            # What it sent before it was removed is read, but it starts nothing new.
            raise PeerError(Code.SESSION_STALE, "the device left its account's list")
        secrets = prekeys.find(first)
        agreed = agreement.respond(self._local, self._peer, message.suite, secrets)
        session = Session.respond(agreed, secrets.signed, now)
        opened = _open_named(session, message, associated_data, now)
        prekeys.consume(secrets)
        session.commit(opened, now)
        self._insert(session, now)
        return Decrypted(opened.plaintext, session_id, new_session=True)

    def _commit(self, session: Session, opened: Opened, now: int) -> None:
        session.commit(opened, now)
        if not session.retired:
            self._sessions.remove(session)
            self._insert(session, now)

    def _insert(self, session: Session, now: int) -> None:
        """Make `session` the active one."""
        self._sessions.insert(0, session)
        self._drop_old(now)

    # --- Keeping ---

    def _drop_old(self, now: int) -> None:
        self._sessions = [
            session
            for place, session in enumerate(self._sessions[: limits.MAX_SESSIONS])
            if (place == 0 and not session.retired)
            or session.used_at + limits.MAX_ARCHIVE_AGE > now
        ]

    def expire(self, now: int) -> None:
        """Drop what was kept too long: inactive sessions, keys of lost messages. Call it daily."""
        if self._stale_since is not None and self._stale_since + limits.MAX_ARCHIVE_AGE <= now:
            self._sessions = []
        self._drop_old(now)
        for session in self._sessions:
            session.expire(now)

    def reset(self) -> None:
        """Never send on the present sessions again; they still read what is late.

        For a session that the peer cannot read, or after a suspected theft of state.
        """
        for session in self._sessions:
            session.retire()

    def mark_stale(self, now: int) -> None:
        """The device has left its account's list: nothing is sent to it any more.

        What it sent before is still read, until `expire` drops the sessions 30 days later.
        """
        if self._stale_since is None:
            self._stale_since = now

    def precompute(self, keys: int, now: int, random: Random | None = None) -> None:
        """Make the next `keys` message keys (at most 256) of both directions in idle time.

        With `random`, also the key pair of the next turn. What is made ahead stays in memory: it
        is in no `to_bytes`, so a stolen disk tells no more than before.
        """
        session = self._active
        if session is not None:
            session.ratchet.precompute(min(keys, limits.MAX_PRECOMPUTED), random)

    # --- Storage ---

    def to_bytes(self) -> bytes:
        """Encode, for sealed storage. Holds no message key but those of skipped messages."""
        writer = Writer().uint8(STATE_VERSION).fixed(self._pair_id, SHA256_SIZE)
        writer.uint8(self._header_encryption).optional(self._stale_since, Writer.uint64)
        writer.vector(self._sessions, lambda inner, item: inner.opaque(item.to_bytes()))
        return writer.data()

    @classmethod
    def from_bytes(cls, data: bytes, local: LocalDevice, peer: DeviceIdentity) -> Self:
        """Decode what `to_bytes` of the same pair gave."""
        reader = Reader(data)
        if reader.uint8() != STATE_VERSION:
            raise DecodeError(Code.DECODE_VERSION, "sessions")
        sessions = cls(local, peer)
        if reader.fixed(SHA256_SIZE) != sessions._pair_id:
            raise DecodeError(Code.DECODE_MALFORMED, "sessions of another pair of devices")
        sessions._header_encryption = bool(reader.uint8())
        sessions._stale_since = reader.optional(Reader.uint64)
        sessions._sessions = reader.vector(
            lambda inner: decode(inner.opaque(), Session.read), limits.MAX_SESSIONS
        )
        reader.finish()
        return sessions

    @property
    def _pair_id(self) -> bytes:
        writer = Writer()
        self._local.identity.write_bound(writer)
        self._peer.write_bound(writer)
        return sha256(labels.PAIR_ID + writer.data())

    def __repr__(self) -> str:
        return f"PeerSessions({self._peer.device_id.hex()}, {len(self._sessions)} sessions)"


def _open_named(session: Session, message: Message, associated_data: bytes, now: int) -> Opened:
    """Open a message that names its session, so that there is no other to try."""
    if session.suite is not message.suite:
        raise AuthenticationError(Code.CRYPTO_TAG, "suite of a first message")
    try:
        return session.open(message, associated_data, now)
    except NotOfThisSession:
        raise AuthenticationError(Code.CRYPTO_TAG, "first message") from None
