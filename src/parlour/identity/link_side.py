"""What both sides of linking have in common; `linking` has the theory."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from parlour.codec import Writer
from parlour.errors import AccessError, Code, UsageError
from parlour.identity import labels
from parlour.identity.link_messages import Greeting, mac_key, offer_hash
from parlour.identity.link_text import LinkSecret, LinkText, Shows
from parlour.identity.vault import AccountSecret
from parlour.primitives.hashes import hmac_sha256
from parlour.primitives.hpke import AeadId, KdfId, KemId, Psk, Suite
from parlour.primitives.signature import Ed25519PublicKey

# Time to fetch the other device and to type a password; little for who saw the code.
LIFETIME_SECONDS: Final = 600
_CODES: Final = 1_000_000
SUITE: Final = Suite(KemId.X25519, KdfId.HKDF_SHA256, AeadId.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """A server as a code names it: its name, where it is reached, how it is known."""

    name: str
    host: str
    port: int
    pin: bytes | None


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The account of the old device; `account_key` is the public one."""

    account_id: bytes
    account_key: Ed25519PublicKey
    name: str


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """What the new device is given. Its own place in the device list it still has to read.

    `list_number` and `list_hash` are of the entry that names it: less than that is a rollback.
    """

    account_id: bytes
    account_key: Ed25519PublicKey
    name: str
    server: str
    pin: bytes | None
    secret: AccountSecret
    list_number: int
    list_hash: bytes
    snapshot: bytes = field(repr=False)


class Stage(Enum):
    """How far a side has come."""

    BEGUN = "the other device has not spoken"
    GREETED = "the code is not shown yet"
    COMPARING = "the code is shown"
    DONE = "done"


class Side:
    """What both sides have: the code's text, the HMAC key, the stage, the deadline."""

    __slots__ = ("_deadline", "_key", "_stage", "text")

    def __init__(self, text: LinkText, now: int, lifetime: int = LIFETIME_SECONDS) -> None:
        self.text = text
        self._key = mac_key(text.secret)
        self._stage = Stage.BEGUN
        self._deadline = now + lifetime

    def _expect(self, stage: Stage, now: int) -> None:
        """Return if this is the step's turn and the code still good."""
        if now >= self._deadline:
            raise AccessError(Code.LINK_EXPIRED)
        if self._stage is not stage:
            raise UsageError(Code.USAGE_STATE, f"linking: {self._stage.value}")

    def _code(self, offer: bytes, greeting: Greeting, nonce: bytes) -> str:
        """Six digits over all that both sides said, as people compare them."""
        fields = Writer().opaque(labels.LINK_CODE).opaque(offer).opaque(greeting.content())
        digest = hmac_sha256(self._key, fields.opaque(nonce).data())
        # 2^64 codes on a million: the bias is below 2^-44.
        digits = f"{int.from_bytes(digest[:8]) % _CODES:06}"
        return f"{digits[:3]} {digits[3:]}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._stage.name})"


def make_text(
    shows: Shows, place: ServerPlace, name: str, commitment: bytes, secret: LinkSecret
) -> LinkText:
    """The code of a link that this device shows."""
    return LinkText(shows, place.name, place.host, place.port, place.pin, name, commitment, secret)


def check_shown_by(text: LinkText, side: Shows) -> None:
    """Return if that side shows the code; raises ``link.invalid``."""
    if text.shows is not side:
        raise UsageError(Code.LINK_INVALID, f"an {side.name.lower()} device must show it")


def answer_info(offer: bytes) -> bytes:
    """What binds the encryption of an answer to its offer."""
    return Writer().opaque(labels.LINK_ANSWER).opaque(offer_hash(offer)).data()


def answer_psk(text: LinkText) -> Psk:
    """The code's secret, as HPKE takes it."""
    return Psk(text.secret.reveal(), text.mailbox)


def to_be_signed(offer: bytes, greeting: Greeting, content: bytes) -> bytes:
    """What the account key signs over an answer."""
    writer = Writer().opaque(labels.LINK_SIGNATURE).opaque(offer_hash(offer))
    return writer.opaque(greeting.content()).opaque(content).data()
