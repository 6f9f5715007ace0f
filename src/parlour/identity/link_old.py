"""The old device's side of linking; `linking` has the theory."""

from __future__ import annotations

from dataclasses import replace

from parlour.errors import Code, SecurityStop, UsageError
from parlour.identity.device import Device
from parlour.identity.device_list import DeviceListState
from parlour.identity.link_messages import (
    NONCE_SIZE,
    AnswerContent,
    Greeting,
    Offer,
    nonce_commitment,
    offer_hash,
    write_sealed_answer,
    write_signed,
)
from parlour.identity.link_side import (
    SUITE,
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
from parlour.identity.vault import AccountSecret
from parlour.primitives.hashes import equal
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import Ed25519PrivateKey


class OldDeviceLink(Side):
    """The old device's side."""

    __slots__ = ("_account", "_nonce", "_offer_bytes", "_opened", "offer")

    def __init__(self, text: LinkText, account: OwnAccount, nonce: bytes, now: int) -> None:
        super().__init__(text, now)
        self.offer: Offer | None = None
        self._account = account
        self._nonce = nonce
        self._offer_bytes = b""
        self._opened = b""

    @classmethod
    def show(
        cls,
        place: ServerPlace,
        account: OwnAccount,
        *,
        now: int,
        random: Random = system_random,
    ) -> OldDeviceLink:
        """Begin by showing a code. `now` in seconds of a clock that does not go back."""
        secret, nonce = LinkSecret.generate(random), random(NONCE_SIZE)
        commitment = _greeting(account, nonce).commitment()
        text = make_text(Shows.OLD, place, account.name, commitment, secret)
        return cls(text, account, nonce, now)

    @classmethod
    def scan(
        cls,
        text: LinkText,
        place: ServerPlace,
        account: OwnAccount,
        *,
        now: int,
        random: Random = system_random,
    ) -> OldDeviceLink:
        """Begin with the code that a new device shows.

        Raises ``link.mismatch`` if it means another server or another account than this one's.
        """
        check_shown_by(text, Shows.NEW)
        if text.server != place.name:
            raise SecurityStop(Code.LINK_MISMATCH, "the code is for another server")
        if text.account_name not in ("", account.name):
            raise SecurityStop(Code.LINK_MISMATCH, "the code is for another account")
        return cls(text, account, random(NONCE_SIZE), now)

    def receive_offer(self, data: bytes, *, now: int) -> bytes:
        """Learn which device wants to be linked; returns the greeting to send.

        Raises `SecurityStop` (``link.mismatch``) if it is not from the device whose code was
        scanned, and `DecodeError`.
        """
        self._expect(Stage.BEGUN, now)
        shown_by_new = self.text.shows is Shows.NEW
        if shown_by_new and not equal(offer_hash(data), self.text.commitment):
            raise SecurityStop(Code.LINK_MISMATCH, "offer")
        self.offer = Offer.decode(data, self._key)
        self._offer_bytes = data
        self._stage = Stage.GREETED
        return self._greeting().encode(self._key, offer_hash(data))

    def receive_opening(self, data: bytes, *, now: int) -> str:
        """Check the new device's nonce; returns the six digits to compare."""
        offer = self._offered()
        self._expect(Stage.GREETED, now)
        if not equal(nonce_commitment(data), offer.nonce_commitment):
            raise SecurityStop(Code.LINK_MISMATCH, "opening")
        self._opened = data
        self._stage = Stage.COMPARING
        return self.code

    @property
    def code(self) -> str:
        """Six digits to compare; raises ``usage.state`` before the opening."""
        if not self._opened:
            raise UsageError(Code.USAGE_STATE, f"linking: {self._stage.value}")
        return self._code(self._offer_bytes, self._greeting(), self._opened)

    def answer(
        self,
        account_key: Ed25519PrivateKey,
        state: DeviceListState,
        *,
        secret: AccountSecret,
        pin: bytes | None,
        snapshot: bytes,
        now: int,
        random: Random = system_random,
    ) -> bytes:
        """Hand the account over, once a person has said that both codes are the same.

        `state` is the device list with the entry that adds the new device, under a name and a time
        of ours. Where another device changed the list first, call it again with the next `state`;
        only the answer for the entry that the server took may leave. Raises ``usage.state`` if the
        device is not on the list, and `LimitError` for the snapshot.
        """
        offer = self._offered()
        self._expect(Stage.COMPARING, now)
        listed = state.device(offer.device.device_id)
        if listed is None or not _same_keys(listed, offer.device):
            raise UsageError(Code.USAGE_STATE, "put the device on the list before")
        content = AnswerContent(
            self.text.server, pin, secret, state.number, state.head_hash, snapshot
        ).encode()
        signed = to_be_signed(self._offer_bytes, self._greeting(), content)
        encapsulated, ciphertext = SUITE.seal(
            offer.hpke_key,
            write_signed(content, account_key.sign(signed)),
            info=answer_info(self._offer_bytes),
            psk=answer_psk(self.text),
            random=random,
        )
        return write_sealed_answer(encapsulated, ciphertext)

    def _greeting(self) -> Greeting:
        return _greeting(self._account, self._nonce)

    def _offered(self) -> Offer:
        if self.offer is None:
            raise UsageError(Code.USAGE_STATE, f"linking: {self._stage.value}")
        return self.offer


def _same_keys(listed: Device, offered: Device) -> bool:
    """Whether a device is listed as it was offered, but for what the old one says of it."""
    return offered == replace(listed, sealed_name=offered.sealed_name, added_at=offered.added_at)


def _greeting(account: OwnAccount, nonce: bytes) -> Greeting:
    return Greeting(account.account_id, account.account_key, account.name, nonce)
