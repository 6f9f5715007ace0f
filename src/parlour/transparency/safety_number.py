"""The safety number of two accounts: what people read to each other, or scan.

It is made of both account keys, so one comparison covers every device that these keys sign, now
and later. Each half is a fingerprint of one key under its account's id; the halves are sorted, so
both people see the same sixty digits. The version and the key type are not Signal's, and the
hashed id begins with our label: a number from elsewhere never fits one of ours.

Shown as digits, as words (`safety_words`) and as a QR code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, SecurityStop, UsageError
from parlour.primitives.hashes import equal
from parlour.primitives.signature import Ed25519PublicKey
from parlour.transparency import labels
from parlour.transparency.fingerprint import FINGERPRINT_SIZE, digits, numeric_fingerprint
from parlour.transparency.safety_words import safety_words

SAFETY_NUMBER_VERSION: Final = 1
# An Ed25519 account key; Signal's 5 is an X25519 identity key.
ACCOUNT_KEY_TYPE: Final = 0xE1
ACCOUNT_ID_SIZE: Final = 16
GROUP_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class Party:
    """One of the two accounts: its id of 16 bytes and its account key."""

    account_id: bytes
    account_key: Ed25519PublicKey

    def __post_init__(self) -> None:
        if len(self.account_id) != ACCOUNT_ID_SIZE:
            raise UsageError(Code.USAGE_INVALID, f"an account id has {ACCOUNT_ID_SIZE} bytes")

    def fingerprint(self) -> bytes:
        """The 32 bytes for this account; takes some milliseconds."""
        return numeric_fingerprint(
            bytes((ACCOUNT_KEY_TYPE,)) + self.account_key.to_bytes(),
            labels.SAFETY_NUMBER + self.account_id,
            version=SAFETY_NUMBER_VERSION,
        )


@dataclass(frozen=True, slots=True)
class SafetyNumber:
    """Both fingerprints as one side sees them: its own, and the other's."""

    own: bytes
    other: bytes

    @property
    def digits(self) -> str:
        """Sixty digits, the same on both sides."""
        return "".join(sorted((digits(self.own), digits(self.other))))

    @property
    def groups(self) -> list[str]:
        """The sixty digits as twelve groups of five, to be read aloud."""
        text = self.digits
        return [text[at : at + GROUP_DIGITS] for at in range(0, len(text), GROUP_DIGITS)]

    @property
    def words(self) -> list[str]:
        """Sixteen words, the same on both sides: eight for each key, to be read aloud."""
        first, second = sorted((safety_words(self.own), safety_words(self.other)))
        return [*first, *second]

    def scannable(self) -> bytes:
        """The payload of the QR code, 65 bytes.

        ``struct { uint8 version; opaque own[32]; opaque other[32]; }``, as the side sees it that
        shows the code.
        """
        fields = Writer().uint8(SAFETY_NUMBER_VERSION)
        return fields.fixed(self.own, FINGERPRINT_SIZE).fixed(self.other, FINGERPRINT_SIZE).data()

    def __str__(self) -> str:
        return " ".join(self.groups)


def safety_number(own: Party, other: Party) -> SafetyNumber:
    """The safety number of two accounts; raises `UsageError` for an account with itself."""
    if own.account_id == other.account_id:
        raise UsageError(Code.USAGE_INVALID, "a safety number is of two accounts")
    return SafetyNumber(own.fingerprint(), other.fingerprint())


def compare(scanned: bytes, number: SafetyNumber) -> None:
    """Return if the code scanned from the other's screen agrees with our own `number`.

    Raises `DecodeError` if it is no such code or one of another version, and `SecurityStop`
    (``account.key_changed``) if either side holds another key than the owner's.
    """
    shown = decode(scanned, _read)
    # What they call their own is our other, and the other way round. A mirror shows our own code,
    # which fails here like any stranger's.
    if not equal(shown.own + shown.other, number.other + number.own):
        raise SecurityStop(Code.ACCOUNT_KEY_CHANGED, "the scanned safety number differs")


def _read(reader: Reader) -> SafetyNumber:
    version = reader.uint8()
    if version != SAFETY_NUMBER_VERSION:
        raise DecodeError(Code.DECODE_VERSION, f"safety number of version {version}")
    return SafetyNumber(reader.fixed(FINGERPRINT_SIZE), reader.fixed(FINGERPRINT_SIZE))
