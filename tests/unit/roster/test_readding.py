"""Wishes to be added again: their form, and when they may be fulfilled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parlour.codec import Writer
from parlour.errors import Code, DecodeError, SecurityStop
from parlour.roster import ReaddWish, device_signature, labels
from parlour.roster.readding import MAX_WISH_AGE, MAX_WISH_AHEAD
from parlour.wire.limits import MAX_WISH
from tests.rosters import ANNA, BEA, NOW, STREAM

PACKAGE = b"p" * 32
WISH = ReaddWish(STREAM, 1, 7, ANNA.account, ANNA.device, PACKAGE, NOW).sign(ANNA.key)


def test_a_wish_is_signed_by_its_device() -> None:
    assert ReaddWish.decode(WISH.encode()) == WISH
    assert len(WISH.encode()) == 167 <= MAX_WISH
    content = Writer().uint8(1).fixed(STREAM, 16).uint32(1).uint64(7)
    content.fixed(ANNA.account, 16).fixed(ANNA.device, 16).fixed(PACKAGE, 32).uint64(NOW)
    device_signature.verify(
        labels.READD, content.data(), ANNA.device, ANNA.key.public_key, WISH.signature
    )
    WISH.check(STREAM, (1, 7), NOW, 0, ANNA.key.public_key)
    WISH.check(STREAM, (2, 0), NOW, NOW - 1, ANNA.key.public_key)
    WISH.check(STREAM, (1, 7), NOW + MAX_WISH_AGE, 0, ANNA.key.public_key)
    WISH.check(STREAM, (1, 7), NOW - MAX_WISH_AHEAD, 0, ANNA.key.public_key)


@pytest.mark.parametrize(
    ("stream", "place", "now", "last"),
    [
        (bytes(16), (1, 7), NOW, 0),
        (STREAM, (1, 6), NOW, 0),
        (STREAM, (0, 9), NOW, 0),
        (STREAM, (1, 7), NOW + MAX_WISH_AGE + 1, 0),
        (STREAM, (1, 7), NOW - MAX_WISH_AHEAD - 1, 0),
        (STREAM, (1, 7), NOW, NOW),
    ],
)
def test_a_wish_is_not_for_everything(
    stream: bytes, place: tuple[int, int], now: int, last: int
) -> None:
    with pytest.raises(SecurityStop) as raised:
        WISH.check(stream, place, now, last, ANNA.key.public_key)
    assert raised.value.code is Code.ROSTER_INVALID


@pytest.mark.parametrize(
    "field", ["stream", "account", "generation", "epoch", "package", "at", "signature"]
)
def test_no_other_wish_has_its_signature(field: str) -> None:
    value = getattr(WISH, field)
    changes: dict[str, Any] = {field: value - 1 if isinstance(value, int) else bytes(len(value))}
    other = replace(WISH, **changes)
    with pytest.raises(SecurityStop):
        other.check(other.stream, (1, 7), NOW, 0, ANNA.key.public_key)


@pytest.mark.parametrize("key", [None, BEA.key.public_key])
def test_a_wish_of_a_device_that_is_not_known(key: object) -> None:
    with pytest.raises(SecurityStop):
        WISH.check(STREAM, (1, 7), NOW, 0, key)  # type: ignore[arg-type]


def test_what_is_no_wish() -> None:
    data = WISH.encode()
    with pytest.raises(DecodeError):
        ReaddWish.decode(data[:-1])
    with pytest.raises(DecodeError) as raised:
        ReaddWish.decode(data[:2] + b"\x02" + data[3:])
    assert raised.value.code is Code.DECODE_VERSION
