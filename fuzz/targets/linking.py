"""Linking: the pasted code, and each message as it comes from a mailbox.

The first byte chooses who reads the rest. Nothing but the true message is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random as Seeded
from typing import Final

from parlour.errors import ParlourError
from parlour.identity.device_list import Device, DeviceListState, first_entry
from parlour.identity.link_text import SCHEME, LinkText
from parlour.identity.linking import NewDeviceLink, OldDeviceLink, OwnAccount, ServerPlace
from parlour.identity.vault import AccountSecret
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey

_NOW: Final = 1_800_000_000
_KEY: Final = Ed25519PrivateKey(b"\x01" * 32)
_DEVICE: Final = Device(
    Ed25519PrivateKey(b"\x02" * 32).public_key,
    X25519PrivateKey(b"\x02" * 32).public_key,
    has_kem=True,
    added_at=1,
)
_STATE: Final = DeviceListState.begin(bytes(16), first_entry(bytes(16), _KEY, _DEVICE, _NOW))
_PLACE: Final = ServerPlace("chat.example", "192.0.2.1", 8443, None)
_ACCOUNT: Final = OwnAccount(bytes(16), _KEY.public_key, "anna")


def _new() -> NewDeviceLink:
    random = Seeded(1).randbytes
    return NewDeviceLink.show(_PLACE, device=_DEVICE, prekeys=(b"p",), now=_NOW, random=random)


def _old() -> OldDeviceLink:
    random = Seeded(2).randbytes
    return OldDeviceLink.scan(_new().text, _PLACE, _ACCOUNT, now=_NOW, random=random)


_TEXT: Final = _new().text.to_text()
_OFFER: Final = _new().offer
_old_side: Final = _old()
_GREETING: Final = _old_side.receive_offer(_OFFER, now=_NOW)
_OPENING: Final = _new().opening
_old_side.receive_opening(_OPENING, now=_NOW)
_ANSWER: Final = _old_side.answer(
    _KEY, _STATE, secret=AccountSecret(bytes(16)), pin=None, snapshot=b"contacts", now=_NOW
)


def _text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for line in (text, SCHEME + text):
        try:
            link = LinkText.from_text(line)
        except ParlourError:
            continue
        assert LinkText.from_text(link.to_text()) == link


def _offer(data: bytes) -> None:
    _old().receive_offer(data, now=_NOW)
    assert data == _OFFER


def _greeting(data: bytes) -> None:
    _new().receive_greeting(data, now=_NOW)
    assert data == _GREETING


def _opening(data: bytes) -> None:
    old = _old()
    old.receive_offer(_OFFER, now=_NOW)
    old.receive_opening(data, now=_NOW)
    assert data == _OPENING


def _answer(data: bytes) -> None:
    new = _new()
    new.receive_greeting(_GREETING, now=_NOW)
    new.receive_answer(data, now=_NOW)
    assert data == _ANSWER


_READERS: Final[tuple[Callable[[bytes], None], ...]] = (
    _text,
    _offer,
    _greeting,
    _opening,
    _answer,
)
SEEDS: Final = [
    bytes((number,)) + data
    for number, data in enumerate((_TEXT.encode(), _OFFER, _GREETING, _OPENING, _ANSWER))
]


def target(data: bytes) -> None:
    if not data:
        return
    try:
        _READERS[data[0] % len(_READERS)](data[1:])
    except ParlourError:
        return
