"""Mailboxes in which a new and an old device of one person meet (`parlour.identity.linking`).

Each side leaves two messages, numbered 0 and 1, and waits for the other's. The server keeps them in
memory for ten minutes and can read and forge none. Between its opening and the answer the new
device leaves its yes, when a person has compared the codes there; either side may say no instead,
which ends the linking for both with ``link.refused``. A second device in the place of either side
ends it with ``link.conflict``.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.limits import MAX_LINK_ANSWER, MAX_LINK_OFFER
from parlour.wire.login import LoggedIn, Signature

Mailbox = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""Derived from the secret of the code that one device shows."""
MessageNumber = Annotated[int, Meta(ge=0, le=1)]
"""Each side's first message is 0, its second 1."""
OfferNumber = Annotated[int, Meta(ge=0, le=2)]
"""The new device's messages, and 2 for its yes."""
YES = b"yes"
"""What is left for a yes. It only keeps an old device from signing for nothing."""
DeviceKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A device's Ed25519 public key."""


class LinkOffer(Body, array_like=True, frozen=True):
    """The new device leaves a message: 0 its offer, 1 its opening, 2 its yes; nil for a no.

    `opens` when it shows the code itself; otherwise the mailbox must be there. `device_proof` is
    the device's signature over the mailbox (`identity.proofs.link`).
    """

    mailbox: Mailbox
    device_key: DeviceKey
    device_proof: Signature
    number: OfferNumber
    message: Annotated[bytes, Meta(min_length=1, max_length=MAX_LINK_OFFER)] | None
    opens: bool


class LinkWait(Body, array_like=True, frozen=True):
    """The new device waits for a message: 0 the greeting, 1 the answer."""

    mailbox: Mailbox
    device_key: DeviceKey
    device_proof: Signature
    number: MessageNumber


class LinkTake(Body, array_like=True, frozen=True):
    """The old device waits for a message: 0 the offer, 1 the opening, 2 the yes.

    `opens` when it shows the code itself; otherwise the mailbox must be there.
    """

    mailbox: Mailbox
    number: OfferNumber
    opens: bool


class LinkAnswer(Body, array_like=True, frozen=True):
    """The old device leaves a message: 0 its greeting, 1 its answer; without one it says no.

    The answer is taken only when the new device stands on the account's list.
    """

    mailbox: Mailbox
    number: MessageNumber
    message: Annotated[bytes, Meta(min_length=1, max_length=MAX_LINK_ANSWER)] | None


class LinkMessage(Body, array_like=True, frozen=True):
    """The other side's message; nil when it was not there after some seconds: ask again.

    With the answer comes a session for the new device.
    """

    message: Annotated[bytes, Meta(min_length=1, max_length=MAX_LINK_ANSWER)] | None
    logged_in: LoggedIn | None = None
