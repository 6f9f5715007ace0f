"""The new device's side of linking; `linking` has the theory."""

from __future__ import annotations

from parlour.codec import Reader, Writer, decode
from parlour.errors import AuthenticationError, Code, SecurityStop, UsageError
from parlour.identity.device import Device
from parlour.identity.link_messages import (
    NONCE_SIZE,
    AnswerContent,
    Greeting,
    Offer,
    mac_key,
    nonce_commitment,
    offer_hash,
    read_sealed_answer,
    read_signed,
)
from parlour.identity.link_side import (
    LIFETIME_SECONDS,
    SUITE,
    LinkedAccount,
    OwnAccount,
    ServerPlace,
    Side,
    Stage,
    answer_info,
    answer_psk,
    check_shown_by,
    make_text,
    to_be_signed,
)
from parlour.identity.link_text import LinkSecret, LinkText, Shows
from parlour.primitives.agreement import X25519_SIZE, X25519PrivateKey
from parlour.primitives.hashes import equal
from parlour.primitives.random import Random, system_random


class NewDeviceLink(Side):
    """The new device's side. `offer` goes out first."""

    __slots__ = ("_greeting", "_nonce", "_private_key", "offer", "opening")

    def __init__(
        self,
        text: LinkText,
        offer: bytes,
        private_key: X25519PrivateKey,
        nonce: bytes,
        now: int,
        lifetime: int = LIFETIME_SECONDS,
    ) -> None:
        super().__init__(text, now, lifetime)
        self.offer = offer
        self.opening = nonce
        self._private_key = private_key
        self._nonce = nonce
        self._greeting: Greeting | None = None

    @classmethod
    def show(
        cls,
        place: ServerPlace,
        *,
        device: Device,
        prekeys: tuple[bytes, ...],
        now: int,
        account_name: str = "",
        random: Random = system_random,
    ) -> NewDeviceLink:
        """Begin by showing a code. `now` in seconds of a clock that does not go back.

        `account_name` is the account that the person means to join, if they said so.
        """
        secret = LinkSecret.generate(random)
        nonce, private_key = random(NONCE_SIZE), X25519PrivateKey.generate(random)
        offer = _offer(secret, device, prekeys, private_key, nonce)
        text = make_text(Shows.NEW, place, account_name, offer_hash(offer), secret)
        return cls(text, offer, private_key, nonce, now)

    @classmethod
    def scan(
        cls,
        text: LinkText,
        *,
        device: Device,
        prekeys: tuple[bytes, ...],
        now: int,
        random: Random = system_random,
    ) -> NewDeviceLink:
        """Begin with the code that an old device shows."""
        check_shown_by(text, Shows.OLD)
        nonce, private_key = random(NONCE_SIZE), X25519PrivateKey.generate(random)
        offer = _offer(text.secret, device, prekeys, private_key, nonce)
        return cls(text, offer, private_key, nonce, now)

    def saved(self) -> bytes:
        """What `resume` goes on from, before any message came. It is secret.

        ::

            struct {
                opaque text<V>;
                opaque offer<V>;
                opaque private_key[32];
                opaque nonce[16];
            } SavedLink;
        """
        writer = Writer().opaque(self.text.to_text().encode()).opaque(self.offer)
        writer.fixed(self._private_key.to_bytes(), X25519_SIZE)
        return writer.fixed(self._nonce, NONCE_SIZE).data()

    @classmethod
    def resume(cls, data: bytes, *, lifetime: int, now: int) -> NewDeviceLink:
        """Go on with what `saved` gave, for the `lifetime` seconds that its code has left."""

        def read(reader: Reader) -> NewDeviceLink:
            text = LinkText.from_text(reader.opaque().decode())
            offer, private_key = reader.opaque(), X25519PrivateKey(reader.fixed(X25519_SIZE))
            nonce = reader.fixed(NONCE_SIZE)
            return cls(text, offer, private_key, nonce, now, min(lifetime, LIFETIME_SECONDS))

        return decode(data, read)

    def receive_greeting(self, data: bytes, *, now: int) -> OwnAccount:
        """Learn whose account it is. `opening` may go out now, and `code` be shown.

        Raises `SecurityStop` (``link.mismatch``) if it is not from the device whose code was
        scanned, or names another account than was meant.
        """
        self._expect(Stage.BEGUN, now)
        greeting = Greeting.decode(data, self._key, offer_hash(self.offer))
        shown_by_old = self.text.shows is Shows.OLD
        if shown_by_old and not equal(greeting.commitment(), self.text.commitment):
            raise SecurityStop(Code.LINK_MISMATCH, "greeting")
        if self.text.account_name not in ("", greeting.name):
            raise SecurityStop(Code.LINK_MISMATCH, "another account")
        self._greeting = greeting
        self._stage = Stage.COMPARING
        return OwnAccount(greeting.account_id, greeting.account_key, greeting.name)

    @property
    def code(self) -> str:
        """Six digits to compare; raises ``usage.state`` before the greeting."""
        return self._code(self.offer, self._greeted(), self._nonce)

    def receive_answer(self, data: bytes, *, now: int) -> LinkedAccount:
        """Take the account in. Call it once a person has said that both codes are the same.

        Raises `SecurityStop` (``link.mismatch``) for an answer of anybody else, and `DecodeError`.
        """
        self._expect(Stage.COMPARING, now)
        greeting = self._greeted()
        content = AnswerContent.decode(self._open(data, greeting))
        if content.server != self.text.server:
            raise SecurityStop(Code.LINK_MISMATCH, "another server")
        self._stage = Stage.DONE
        return LinkedAccount(
            account_id=greeting.account_id,
            account_key=greeting.account_key,
            name=greeting.name,
            server=content.server,
            pin=content.pin,
            secret=content.secret,
            list_number=content.list_number,
            list_hash=content.list_hash,
            snapshot=content.snapshot,
        )

    def _greeted(self) -> Greeting:
        if self._greeting is None:
            raise UsageError(Code.USAGE_STATE, f"linking: {self._stage.value}")
        return self._greeting

    def _open(self, data: bytes, greeting: Greeting) -> bytes:
        encapsulated, ciphertext = read_sealed_answer(data)
        try:
            plaintext = SUITE.open(
                self._private_key,
                encapsulated,
                ciphertext,
                info=answer_info(self.offer),
                psk=answer_psk(self.text),
            )
            content, signature = read_signed(plaintext)
            signed = to_be_signed(self.offer, greeting, content)
            greeting.account_key.verify(signature, signed)
        except AuthenticationError as error:
            raise SecurityStop(Code.LINK_MISMATCH, "answer") from error
        return content


def _offer(
    secret: LinkSecret,
    device: Device,
    prekeys: tuple[bytes, ...],
    private_key: X25519PrivateKey,
    nonce: bytes,
) -> bytes:
    offer = Offer(device, private_key.public_key, nonce_commitment(nonce), prekeys)
    return offer.encode(mac_key(secret))
