"""How things of a roster are spelled, and that nothing else is taken for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.codec import Writer
from parlour.errors import Code, DecodeError, LimitError, SecurityStop, UsageError
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster import (
    EXTENSION_TYPE,
    Added,
    Change,
    ChannelClosed,
    ChannelKind,
    ChannelOpened,
    Genesis,
    History,
    JoinedByLink,
    Kind,
    LeafCertificate,
    Left,
    LinkClosed,
    LinkOpened,
    Mode,
    Named,
    Removed,
    Retention,
    Role,
    RoleSet,
    RosterBinding,
    RosterState,
    decode_change,
    encode_change,
    limits,
)
from parlour.roster.certificate import is_genuine
from parlour.roster.entry import RosterEntry
from parlour.roster.links import JoinLink, LinkSecret
from parlour.roster.naming import MAX_NAME_SIZE, name_commitment
from parlour.wire import limits as wire_limits
from tests.rosters import ANNA, BEA, NOW, ROSTER_ID, STREAM, added, found, genesis_of, step

ID, K, S = b"i" * 16, b"k" * 32, b"s" * 64
CHANGES: list[tuple[Change, int]] = [
    (Added(ID, Role.OWNER, K), 50),
    (Removed(ID), 17),
    (RoleSet(ID, Role.MODERATOR), 18),
    (Left(ID, ID, S), 97),
    (Named(K), 33),
    (LinkOpened(ID, K, Role.MEMBER, 7, 9), 62),
    (LinkClosed(ID), 17),
    (JoinedByLink(ID, ID, ID, S, K), 145),
    (ChannelOpened(ID, ChannelKind.VOICE, Role.ADMIN), 19),
    (ChannelClosed(ID), 17),
]


# --- Changes ---


@pytest.mark.parametrize(("number", "case"), list(enumerate(CHANGES, start=1)))
def test_changes(number: int, case: tuple[Change, int]) -> None:
    change, size = case
    data = encode_change(change)
    assert (data[0], len(data)) == (number, size)
    assert decode_change(data) == change
    for bad in (data[:-1], data + b"\x00"):
        with pytest.raises(DecodeError):
            decode_change(bad)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00", Code.DECODE_VERSION),
        (b"\x0b" + ID, Code.DECODE_VERSION),
        (b"\x01" + ID + b"\x00", Code.DECODE_MALFORMED),
        (b"\x01" + ID + b"\x05", Code.DECODE_MALFORMED),
        (b"\x09" + ID + b"\x03\x01", Code.DECODE_MALFORMED),
    ],
)
def test_changes_that_are_none(data: bytes, code: Code) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_change(data)
    assert caught.value.code is code


# --- Entries ---


def test_entry_round_trip_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    head = found(Kind.GROUP, added(BEA)).head
    data = head.encode()
    assert RosterEntry.decode(data) == head
    for bad in (b"", data[:-1], data + b"\x00", Writer().opaque(b"\x02").fixed(S, 64).data()):
        with pytest.raises(DecodeError):
            RosterEntry.decode(bad)
    with pytest.raises(DecodeError) as caught:
        RosterEntry.decode(bytes(limits.MAX_ENTRY_SIZE + 1))
    assert caught.value.code is Code.DECODE_OVERSIZED
    monkeypatch.setattr("parlour.roster.entry.MAX_ENTRY_SIZE", 100)
    with pytest.raises(LimitError):
        head.sign(ANNA.key)


def test_signing_with_another_devices_key_is_a_mistake() -> None:
    with pytest.raises(UsageError):
        found().head.sign(BEA.key)


# --- Genesis ---


def test_genesis_round_trip() -> None:
    genesis = genesis_of()
    data = genesis.encode()
    assert len(data) == 2 + 81 + 64
    assert Genesis.decode(data) == genesis
    Genesis.decode(data).verify(ANNA.key.public_key)
    assert len(genesis.hash()) == 32
    assert replace(genesis, suite=2).hash() != genesis.hash()
    assert replace(genesis, signature=S).hash() != genesis.hash()


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [
        (0, 2, Code.DECODE_VERSION),
        (1, 0, Code.DECODE_MALFORMED),
        (1, 6, Code.DECODE_MALFORMED),
        (4, 9, Code.DECODE_MALFORMED),
        (7, 9, Code.DECODE_MALFORMED),
        (8, 9, Code.DECODE_MALFORMED),
    ],
)
def test_genesis_of_unknown_values(at: int, value: int, code: Code) -> None:
    data = bytearray(genesis_of().encode())
    data[2 + at] = value
    with pytest.raises(DecodeError) as caught:
        Genesis.decode(bytes(data))
    assert caught.value.code is code


def test_genesis_is_bounded() -> None:
    with pytest.raises(DecodeError):
        Genesis.decode(bytes(limits.MAX_GENESIS_SIZE + 1))


@pytest.mark.parametrize("key", [None, BEA.key.public_key])
def test_genesis_of_an_unknown_device(key: Ed25519PublicKey | None) -> None:
    with pytest.raises(SecurityStop):
        genesis_of().verify(key)


FAULTS: list[dict[str, object]] = [
    {"suite": 0},
    {"retention": Retention.DAYS},
    {"retention_days": 3},
    {"retention": Retention.DAYS, "retention_days": limits.MAX_RETENTION_DAYS + 1},
    {"mode": Mode.TRUSTED},
]


@pytest.mark.parametrize("fault", FAULTS)
def test_genesis_that_makes_no_sense(fault: dict[str, object]) -> None:
    with pytest.raises(SecurityStop):
        replace(genesis_of(), **fault).verify(ANNA.key.public_key)  # type: ignore[arg-type]
    fields: dict[str, object] = {
        "kind": Kind.GROUP,
        "suite": 1,
        "stream": STREAM,
        "roster_id": ROSTER_ID,
        "creator_account": ANNA.account,
        "created_at": NOW,
    }
    with pytest.raises(UsageError):
        Genesis.create(ANNA.key, **{**fields, **fault})  # type: ignore[arg-type]


def test_genesis_of_a_room() -> None:
    room = Genesis.create(
        ANNA.key,
        kind=Kind.CHANNEL,
        suite=0xF001,
        stream=STREAM,
        roster_id=ROSTER_ID,
        creator_account=ANNA.account,
        created_at=NOW,
        retention=Retention.DAYS,
        retention_days=limits.MAX_RETENTION_DAYS,
        history=History.SINCE_JOIN,
        mode=Mode.MIXED,
    )
    Genesis.decode(room.encode()).verify(ANNA.key.public_key)


# --- States ---


def state() -> RosterState:
    roster = found(Kind.CHANNEL, added(BEA, Role.ADMIN), Named(K))
    roster = step(roster, ANNA, ChannelOpened(ID, ChannelKind.TEXT, Role.MEMBER))
    opened = [
        JoinLink("chat.example", None, STREAM, bytes(32), LinkSecret(bytes((n,)) * 16)).opened(
            role=Role.MEMBER, uses=n, expires_at=NOW + n
        )
        for n in (1, 2)
    ]
    roster = step(roster, BEA, *opened)
    return step(roster, ANNA, ChannelOpened(b"j" * 16, ChannelKind.VOICE, Role.ADMIN)).state


def test_state_round_trip() -> None:
    full = replace(state(), barred=frozenset({ID, b"j" * 16}))
    data = full.encode()
    assert RosterState.decode(data) == full
    assert RosterState.decode(data).hash() == full.hash() != state().hash()
    turned = replace(full, members=dict(reversed(list(full.members.items()))))
    assert turned.encode() == data
    for bad in (b"", data[:-1], data + b"\x00", b"\x02" + data[1:], bytes(300_000)):
        with pytest.raises(DecodeError):
            RosterState.decode(bad)


def test_state_has_one_spelling() -> None:
    data = state().encode()
    # The length of four members takes two bytes.
    start = 1 + 16 + 16 + 1 + 2
    one, other = data[start : start + 57], data[start + 57 : start + 114]
    channels = [ID + b"\x01\x01", b"j" * 16 + b"\x02\x03"]
    for bad in (
        data.replace(one + other, other + one),
        data.replace(one + other, one + one),
        data.replace(b"".join(channels), b"".join(reversed(channels))),
        data[:-1] + b"\x20" + ID + ID,
        data[:-1] + b"\x0f" + ID[:-1],
        data.replace(one, one[:16] + b"\x05" + one[17:]),
    ):
        assert bad != data
        with pytest.raises(DecodeError) as caught:
            RosterState.decode(bad)
        assert caught.value.code is Code.DECODE_MALFORMED


@pytest.mark.parametrize("members", [b"", bytes(56), bytes(58)])
def test_state_without_whole_members(members: bytes) -> None:
    head = state().encode()[: 1 + 16 + 16 + 1]
    with pytest.raises(DecodeError) as caught:
        RosterState.decode(head + Writer().opaque(members).data() + bytes(4))
    assert caught.value.code is Code.DECODE_MALFORMED


# --- Certificates ---

HOUR, DAY = 3_600, 86_400
SECONDS = NOW // 1_000


def certificate(lifetime: int = 90 * DAY) -> LeafCertificate:
    return LeafCertificate.create(
        ANNA.key,
        account=ANNA.account,
        leaf_key=K,
        issued_at=SECONDS,
        expires_at=SECONDS + lifetime,
    )


def test_certificate() -> None:
    made = certificate()
    assert len(made.encode()) == 148
    read = LeafCertificate.decode(made.encode())
    assert read == made
    read.verify(ANNA.key.public_key)
    assert not read.has_expired(SECONDS + 90 * DAY - 1)
    assert read.has_expired(SECONDS + 90 * DAY)
    for bad in (
        replace(made, account=BEA.account),
        replace(made, device=BEA.device),
        replace(made, leaf_key=bytes(32)),
        replace(made, issued_at=SECONDS + 1),
        replace(made, expires_at=SECONDS + 91 * DAY),
        replace(made, signature=S),
    ):
        with pytest.raises(SecurityStop):
            bad.verify(ANNA.key.public_key)
    for key in (None, BEA.key.public_key):
        with pytest.raises(SecurityStop):
            made.verify(key)
    assert is_genuine(made.encode(), ANNA.key.public_key.to_bytes())
    assert not is_genuine(made.encode(), BEA.key.public_key.to_bytes())
    assert not is_genuine(b"none", ANNA.key.public_key.to_bytes())


@pytest.mark.parametrize("lifetime", [-1, 0, 180 * DAY + 1])
def test_certificate_of_an_impossible_lifetime(lifetime: int) -> None:
    with pytest.raises(UsageError):
        certificate(lifetime)
    with pytest.raises(SecurityStop):
        replace(certificate(), expires_at=SECONDS + lifetime).verify(ANNA.key.public_key)


def test_certificate_that_is_none() -> None:
    data = certificate(180 * DAY).encode()
    for bad in (b"", data[:-1], data + b"\x00", data[:2] + b"\x02" + data[3:], bytes(513)):
        with pytest.raises(DecodeError):
            LeafCertificate.decode(bad)


# --- Extension, names, limits ---


def test_binding() -> None:
    binding = RosterBinding(K, 7, b"h" * 32)
    data = binding.encode()
    assert (len(data), EXTENSION_TYPE) == (72, 0xF0A0)
    assert RosterBinding.decode(data) == binding
    for bad in (data[:-1], data + b"\x00"):
        with pytest.raises(DecodeError):
            RosterBinding.decode(bad)


def test_names_are_committed_to() -> None:
    made = {name_commitment(salt, name) for salt in (ID, b"j" * 16) for name in ("Hof", "Haus")}
    assert len(made) == 4
    assert all(len(each) == 32 for each in made)
    for salt, name in ((b"", "Hof"), (ID, ""), (ID, "x" * (MAX_NAME_SIZE + 1))):
        with pytest.raises(UsageError):
            name_commitment(salt, name)


def test_limits_are_those_of_the_wire() -> None:
    assert limits.MAX_ENTRY_SIZE == wire_limits.MAX_ROSTER_ENTRY
    assert limits.MAX_STATE_SIZE == wire_limits.MAX_ROSTER_STATE
    assert limits.MAX_GENESIS_SIZE == wire_limits.MAX_GENESIS


def test_the_largest_state_and_entry_fit() -> None:
    member = 16 + 1 + 8 + 32
    link = 16 + 32 + 1 + 4 + 8 + 16
    largest = (
        limits.MAX_ACCOUNTS * (member + 16) + limits.MAX_LINKS * link + limits.MAX_CHANNELS * 18
    )
    assert largest + 200 < limits.MAX_STATE_SIZE
    assert limits.MAX_ACCOUNTS * 50 + limits.MAX_CHANNELS * 19 + 500 < limits.MAX_ENTRY_SIZE
