"""Whatever the network does, each message is read once, and what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parlour.errors import Code, ParlourError
from tests.pairs import NOW, End, pair, started

EXAMPLES = settings(max_examples=60, deadline=None)
# What a copy of a message that was read may be refused with. `SESSION_NONE` and `PREKEY_REUSED`
# come when its session has been dropped meanwhile, which the walks below are too short for.
COPY = {Code.SESSION_REPLAYED}

Action = tuple[str, int]
NAMES = [*["send", "deliver"] * 3, "copy", "lose", "reload", "ahead", "initiate", "forge"]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 1_000)), min_size=5, max_size=40
)


@dataclass
class Walk:
    """Two ends and what is under way between them: (receiver, message, number)."""

    ends: tuple[End, End]
    under_way: list[tuple[End, bytes, int]] = field(default_factory=list)
    delivered: list[tuple[End, bytes, int]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    read: list[int] = field(default_factory=list)
    sent: int = 0
    initiated: int = 0

    def take(self, action: Action) -> None:
        name, choice = action
        end, peer = self.ends if choice % 2 else self.ends[::-1]
        match name:
            case "send":
                if not end.sessions.can_send:
                    self.initiated += 1
                    end.initiate()
                message = end.send(b"%d" % self.sent, b"ad %d" % self.sent)
                self.under_way.append((peer, message, self.sent))
                self.sent += 1
            case "initiate" if self.initiated < 4:
                self.initiated += 1
                end.initiate()
            case "reload":
                end.reload()
            case "ahead":
                end.sessions.precompute(choice % 7, NOW, end.device.random)
            case "deliver" if self.under_way:
                self.deliver(choice % len(self.under_way))
            case "lose" if self.under_way:
                self.lost.add(self.under_way.pop(choice % len(self.under_way))[2])
            case "copy" if self.delivered:
                receiver, message, number = self.delivered[choice % len(self.delivered)]
                assert refused_without_effect(receiver, message, b"ad %d" % number) in COPY
            case "forge" if self.under_way:
                receiver, message, number = self.under_way[choice % len(self.under_way)]
                place = choice % len(message)
                forged = message[:place] + bytes((message[place] ^ 0x40,)) + message[place + 1 :]
                refused_without_effect(receiver, forged, b"ad %d" % number)

    def deliver(self, place: int) -> None:
        receiver, message, number = self.under_way.pop(place)
        assert receiver.read(message, b"ad %d" % number) == b"%d" % number
        self.delivered.append((receiver, message, number))
        self.read.append(number)


def refused_without_effect(end: End, message: bytes, associated_data: bytes) -> Code:
    before = end.state()
    with pytest.raises(ParlourError) as caught:
        end.read(message, associated_data)
    assert end.state() == before
    return caught.value.code


@given(actions=ACTIONS, header_encryption=st.booleans(), has_kem=st.booleans())
@settings(EXAMPLES, max_examples=200)
def test_each_message_is_read_once(
    actions: list[Action], header_encryption: bool, has_kem: bool
) -> None:
    walk = Walk(pair(header_encryption=header_encryption, has_kem=has_kem, batch=False))
    for action in actions:
        walk.take(action)
    while walk.under_way:
        walk.deliver(0)
    assert sorted(walk.read) == sorted(set(range(walk.sent)) - walk.lost)


@given(actions=ACTIONS, header_encryption=st.booleans())
@EXAMPLES
def test_both_ends_come_to_one_session(actions: list[Action], header_encryption: bool) -> None:
    walk = Walk(pair(header_encryption=header_encryption, batch=False))
    for action in [("initiate", 0), ("initiate", 1), *actions]:
        walk.take(action)
    while walk.under_way:
        walk.deliver(0)
    ada, bea = walk.ends
    for left, right in ((ada, bea), (bea, ada)):
        right.read(left.send(b"quiet now"))
    assert ada.sessions._sessions[0].session_id == bea.sessions._sessions[0].session_id
    assert ada.sessions._sessions[0].first is None or bea.sessions._sessions[0].first is None


@given(
    first=st.booleans(),
    header_encryption=st.booleans(),
    change=st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 10_000), st.integers(1, 255)),
        st.tuples(st.just("cut"), st.integers(0, 10_000), st.just(0)),
        st.tuples(st.just("extend"), st.just(0), st.integers(0, 255)),
        st.tuples(st.just("data"), st.just(0), st.just(0)),
    ),
)
@EXAMPLES
def test_any_change_is_refused_without_effect(
    first: bool, header_encryption: bool, change: tuple[str, int, int]
) -> None:
    if first:
        ada, bea = pair(header_encryption=header_encryption, batch=False)
        ada.initiate()
    else:
        ada, bea = started(header_encryption=header_encryption, batch=False)
        bea.read(ada.send(b"turn"))
    message, data = ada.send(b"text", b"data"), b"data"
    name, place, value = change
    place %= len(message)
    changed = {
        "flip": message[:place] + bytes((message[place] ^ value,)) + message[place + 1 :],
        "cut": message[:place],
        "extend": message + bytes((value,)),
        "data": message,
    }[name]
    refused_without_effect(bea, changed, b"other" if name == "data" else data)
    assert bea.read(message, data) == b"text"


@given(
    data=st.binary(max_size=200),
    prefix=st.sampled_from([b"", b"\x01", b"\x01\x02\x01", b"\x01\x04\x01", b"\x01\x01\x02"]),
)
@EXAMPLES
def test_noise_is_refused_without_effect(data: bytes, prefix: bytes) -> None:
    refused_without_effect(NOISE_END, prefix + data, b"")


NOISE_END = started()[1]


@given(count=st.integers(1, 5), fails_at=st.integers(0, 6), ahead=st.booleans())
@EXAMPLES
def test_encryption_that_fails_changes_nothing(count: int, fails_at: int, ahead: bool) -> None:
    ada, bea = started(batch=False)
    if ahead:
        ada.sessions.precompute(3, NOW, ada.device.random)
    before = ada.state()
    items = [(b"%d" % place, b"") for place in range(count)]
    random = failing(ada.device.random, fails_at)
    try:
        messages = ada.sessions.encrypt_batch(items, NOW, random)
    except OSError:
        assert ada.state() == before
        messages = ada.sessions.encrypt_batch(items, NOW, ada.device.random)
    assert [bea.read(message) for message in messages] == [plaintext for plaintext, _ in items]


@given(fails_at=st.integers(0, 1))
@EXAMPLES
def test_initiation_that_fails_changes_nothing(fails_at: int) -> None:
    ada, bea = pair(batch=False)
    before = ada.state()
    random = failing(ada.device.random, fails_at)
    try:
        ada.sessions.initiate(bea.device.bundle(), NOW, random)
    except OSError:
        assert ada.state() == before
        assert not ada.sessions.can_send


def failing(random: Callable[[int], bytes], at: int) -> Callable[[int], bytes]:
    """Randomness that ends after `at` draws."""
    draws = iter(range(at))

    def draw(size: int) -> bytes:
        if next(draws, None) is None:
            raise OSError("no entropy")
        return random(size)

    return draw
