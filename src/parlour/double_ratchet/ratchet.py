"""The Double Ratchet of one session, with header encryption as an option.

Spec: Double Ratchet §3 and §4.

Three things differ from the paper's listing, none of them on the wire:

- A received message is opened in two halves: `open` works out the step and verifies the message,
  and changes nothing; `commit` takes the step and cannot fail. Nothing is copied for it.
- The key pair for the next sending chain is made when the next message is sent, not when the
  peer's key arrives: the key that a thief could take is younger, and a turn costs less.
- Message keys, and the next sending chain, can be made ahead in idle time (`precompute`). They
  are never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from parlour.codec import Reader, Writer
from parlour.double_ratchet import labels, limits
from parlour.double_ratchet.chains import Reach, ReceivingChain, SendingChain, read_key
from parlour.double_ratchet.headers import Header, open_header
from parlour.double_ratchet.kdf import KEY_SIZE, SALT_SIZE, derive_seal, step_root
from parlour.double_ratchet.messages import Message, Suite, encode_message, encode_prefix
from parlour.errors import AuthenticationError, Code, LimitError, PeerError
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from parlour.primitives.random import Random


class NotOfThisSession(Exception):
    """As far as can be told, the message is of another session. Never leaves the package."""


class SendingTurn:
    """The turn of the ratchet before our next message, worked out and not taken yet."""

    __slots__ = ("chain", "key_pair", "next_header_key", "root_key")

    def __init__(
        self,
        key_pair: X25519PrivateKey,
        chain: SendingChain,
        root_key: bytes,
        next_header_key: bytes,
    ) -> None:
        self.key_pair = key_pair
        self.chain = chain
        self.root_key = root_key
        self.next_header_key = next_header_key


class ReceivingTurn:
    """The turn of the ratchet that the peer's new key asks for, not taken yet.

    `closing` are the keys of the messages that are missing of the peer's chain before.
    """

    __slots__ = ("closing", "next_header_key", "remote_key", "root_key")

    def __init__(
        self,
        remote_key: X25519PublicKey,
        root_key: bytes,
        next_header_key: bytes,
        closing: list[bytes],
    ) -> None:
        self.remote_key = remote_key
        self.root_key = root_key
        self.next_header_key = next_header_key
        self.closing = closing


class Opened:
    """A message that verified, with the step that `commit` will take."""

    __slots__ = ("chain", "plaintext", "reach", "turn")

    def __init__(
        self, plaintext: bytes, chain: ReceivingChain, reach: Reach, turn: ReceivingTurn | None
    ) -> None:
        self.plaintext = plaintext
        self.chain = chain
        self.reach = reach
        self.turn = turn


class Ratchet:
    """The state of Double Ratchet §3.2 and §4.3.

    `own_key` is the pair whose public half the peer answers to; it is `None` from the peer's
    answer to our next message. `sending` is `None` until then, too.
    """

    __slots__ = (
        "ahead",
        "next_receiving_header_key",
        "next_sending_header_key",
        "own_key",
        "previous_length",
        "receiving",
        "remote_key",
        "root_key",
        "sending",
    )

    def __init__(
        self,
        root_key: bytes,
        own_key: X25519PrivateKey | None,
        remote_key: X25519PublicKey | None,
        next_sending_header_key: bytes,
        next_receiving_header_key: bytes,
    ) -> None:
        self.root_key = root_key
        self.own_key = own_key
        self.remote_key = remote_key
        self.next_sending_header_key = next_sending_header_key
        self.next_receiving_header_key = next_receiving_header_key
        self.previous_length = 0
        self.sending: SendingChain | None = None
        self.receiving: list[ReceivingChain] = []  # the current one last
        self.ahead: SendingTurn | None = None

    @classmethod
    def initiate(cls, secret: bytes, remote_key: X25519PublicKey) -> Self:
        """RatchetInitAlice(HE): `secret` is SK, or SK with both header keys; Bob's signed prekey.

        Her first key pair is made with her first message.
        """
        sending, receiving = _header_keys(secret)
        return cls(secret[:KEY_SIZE], None, remote_key, sending, receiving)

    @classmethod
    def respond(cls, secret: bytes, own_key: X25519PrivateKey) -> Self:
        """RatchetInitBob(HE): the same secret, and the private half of his signed prekey."""
        receiving, sending = _header_keys(secret)
        return cls(secret[:KEY_SIZE], own_key, None, sending, receiving)

    # --- Sending ---

    def encrypt(
        self,
        items: Sequence[tuple[bytes, bytes]],
        suite: Suite,
        first: bytes | None,
        binding: bytes,
        random: Random,
    ) -> list[bytes]:
        """RatchetEncrypt(HE) for each `(plaintext, associated data)`; all or none.

        Raises:
            LimitError: a plaintext is too large, or the chain too long.
        """
        turn = None
        chain = self.sending
        if chain is None:
            if self.remote_key is None:
                raise PeerError(Code.SESSION_NONE, "the peer has to write first")
            turn = self.ahead or self._turn_sending(self.remote_key, random)
            chain = turn.chain
        number, chain_key = chain.number, chain.chain_key
        if number + len(items) > limits.MAX_CHAIN_LENGTH:
            raise LimitError(Code.LIMIT_COUNT, "messages without an answer")
        messages = []
        for place, (plaintext, associated_data) in enumerate(items):
            if len(plaintext) > limits.MAX_PLAINTEXT:
                raise LimitError(Code.LIMIT_SIZE, f"{len(plaintext)} bytes")
            chain_key, message_key = chain.key_after(chain_key, place)
            salt = random(SALT_SIZE)
            header = chain.header(number + place, salt, binding)
            prefix = encode_prefix(suite, first, header, salt)
            cipher, nonce = derive_seal(message_key, salt, labels.MESSAGE_SEAL)
            ciphertext = cipher.seal(nonce, plaintext, binding + prefix + associated_data)
            messages.append(encode_message(prefix, ciphertext))
        if turn is not None:
            self._take_sending(turn)
        chain.advance(len(items), chain_key)
        return messages

    def _turn_sending(self, remote_key: X25519PublicKey, random: Random) -> SendingTurn:
        """The second half of DHRatchet(HE)."""
        key_pair = X25519PrivateKey.generate(random)
        root_key, chain_key, header_key = self._step_root(key_pair.exchange(remote_key))
        chain = SendingChain(
            key_pair.public_key.to_bytes(),
            chain_key,
            self.previous_length,
            self.next_sending_header_key,
        )
        return SendingTurn(key_pair, chain, root_key, header_key)

    def _take_sending(self, turn: SendingTurn) -> None:
        self.root_key = turn.root_key
        self.own_key = turn.key_pair
        self.sending = turn.chain
        self.next_sending_header_key = turn.next_header_key
        self.ahead = None

    def _step_root(self, shared: bytes) -> tuple[bytes, bytes, bytes]:
        with_header_key = bool(self.next_sending_header_key)
        material = step_root(self.root_key, shared, (3 if with_header_key else 2) * KEY_SIZE)
        return material[:32], material[32:64], material[64:]

    # --- Receiving ---

    def open(self, message: Message, binding: bytes, associated_data: bytes, now: int) -> Opened:
        """RatchetDecrypt(HE) without its effects.

        Raises:
            NotOfThisSession: the message may belong to another session.
            ParlourError: it belongs here, and cannot be read.
        """
        authenticated = binding + message.prefix + associated_data
        header, chain = self._match(message, binding)
        if chain is not None:
            reach = chain.reach(header.number, now)
            return Opened(_decrypt(message, reach, authenticated), chain, reach, None)
        turn, chain, reach = self._turn_receiving(header, now)
        try:
            return Opened(_decrypt(message, reach, authenticated), chain, reach, turn)
        except AuthenticationError:
            # The key in a plain header may belong to any session.
            if message.suite.encrypts_headers:
                raise
            raise NotOfThisSession from None

    def _match(self, message: Message, binding: bytes) -> tuple[Header, ReceivingChain | None]:
        """The header, and its chain unless it asks for a turn."""
        if not message.suite.encrypts_headers:
            header = Header.from_bytes(message.header)
            for chain in reversed(self.receiving):
                if chain.ratchet_key == header.ratchet_key:
                    return header, chain
            return header, None
        for chain in reversed(self.receiving):
            opened = open_header(message.header, chain.header_key, message.salt, binding)
            if opened is not None:
                return opened, chain
        opened = open_header(message.header, self.next_receiving_header_key, message.salt, binding)
        if opened is None:
            raise NotOfThisSession
        return opened, None

    def _turn_receiving(
        self, header: Header, now: int
    ) -> tuple[ReceivingTurn, ReceivingChain, Reach]:
        """The first half of DHRatchet(HE), and the skipping before it."""
        if self.own_key is None:
            raise NotOfThisSession
        budget = limits.MAX_JUMP - header.number
        closing: list[bytes] = []
        if self.receiving:
            current = self.receiving[-1]
            budget -= max(header.previous_chain_length - current.number, 0)
        if budget < 0:
            raise LimitError(Code.SESSION_JUMP, f"{limits.MAX_JUMP - budget} messages")
        try:
            remote_key = X25519PublicKey(header.ratchet_key)
            shared = self.own_key.exchange(remote_key)
        except AuthenticationError:
            raise NotOfThisSession from None
        root_key, chain_key, next_header_key = self._step_root(shared)
        chain = ReceivingChain(header.ratchet_key, chain_key, self.next_receiving_header_key)
        if self.receiving:
            closing, _ = current.steps(header.previous_chain_length)
        turn = ReceivingTurn(remote_key, root_key, next_header_key, closing)
        return turn, chain, chain.reach(header.number, now)

    def commit(self, opened: Opened, now: int) -> None:
        """Take the step of a message that verified. Cannot fail."""
        turn = opened.turn
        if turn is not None:
            if self.receiving:
                self.receiving[-1].close(turn.closing, now)
            self.receiving.append(opened.chain)
            del self.receiving[: -limits.MAX_RECEIVING_CHAINS]
            self.root_key = turn.root_key
            self.remote_key = turn.remote_key
            self.next_receiving_header_key = turn.next_header_key
            self.previous_length = self.sending.number if self.sending else 0
            self.sending = None
            self.own_key = None
        opened.chain.take(opened.reach, now)
        self.expire(now)

    def expire(self, now: int) -> None:
        """Drop the keys of skipped messages that are too old or too many."""
        surplus = -limits.MAX_SKIPPED
        for chain in self.receiving:
            if chain.skipped:
                chain.drop_aged(now)
                surplus += len(chain.skipped)
        if surplus > 0:
            for chain in self.receiving:
                count = min(surplus, len(chain.skipped))
                chain.drop_oldest(count)
                surplus -= count

    # --- Ahead ---

    def precompute(self, count: int, random: Random | None) -> None:
        """Make the next `count` message keys of both directions, and with `random` a turn."""
        if self.sending is None and self.ahead is None and self.remote_key and random:
            self.ahead = self._turn_sending(self.remote_key, random)
        chain = self.sending or (self.ahead.chain if self.ahead else None)
        if chain is not None:
            chain.precompute(count)
        if self.receiving:
            self.receiving[-1].precompute(count)

    # --- Storage ---

    def write(self, writer: Writer) -> None:
        """Write the state, without what was made ahead."""

        def write_private(inner: Writer, key: X25519PrivateKey) -> None:
            inner.fixed(key.to_bytes(), KEY_SIZE)

        def write_public(inner: Writer, key: X25519PublicKey) -> None:
            inner.fixed(key.to_bytes(), KEY_SIZE)

        writer.fixed(self.root_key, KEY_SIZE).uint32(self.previous_length)
        writer.optional(self.own_key, write_private).optional(self.remote_key, write_public)
        writer.opaque(self.next_sending_header_key).opaque(self.next_receiving_header_key)
        writer.optional(self.sending, lambda inner, chain: chain.write(inner))
        writer.vector(self.receiving, lambda inner, chain: chain.write(inner))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote."""
        root_key, previous_length = read_key(reader), reader.uint32()
        own_key = reader.optional(lambda inner: X25519PrivateKey(read_key(inner)))
        remote_key = reader.optional(lambda inner: X25519PublicKey(read_key(inner)))
        ratchet = cls(
            root_key, own_key, remote_key, reader.opaque(KEY_SIZE), reader.opaque(KEY_SIZE)
        )
        ratchet.previous_length = previous_length
        ratchet.sending = reader.optional(SendingChain.read)
        ratchet.receiving = reader.vector(ReceivingChain.read, limits.MAX_RECEIVING_CHAINS)
        return ratchet

    def __repr__(self) -> str:
        return "Ratchet([secret])"


def _header_keys(secret: bytes) -> tuple[bytes, bytes]:
    """The initiator's and the responder's first header key; empty where headers are plain."""
    return secret[32:64], secret[64:96]


def _decrypt(message: Message, reach: Reach, authenticated: bytes) -> bytes:
    cipher, nonce = derive_seal(reach.message_key, message.salt, labels.MESSAGE_SEAL)
    return cipher.open(nonce, message.ciphertext, authenticated)
