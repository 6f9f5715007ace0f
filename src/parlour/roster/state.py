"""What the entries of a roster add up to: who is in, in which role, and by what one comes in.

A state is a value. Its hash stands in the entry that leads to it, so that who joins needs the last
entry and the state, and not the whole log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from struct import Struct
from typing import Any, Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.signature import ED25519_KEY_SIZE
from parlour.roster import labels
from parlour.roster.changes import NO_KEY, ChannelKind
from parlour.roster.genesis import Kind
from parlour.roster.limits import (
    ID_SIZE,
    MAX_ACCOUNTS,
    MAX_CHANNELS,
    MAX_LINKS,
    MAX_STATE_SIZE,
)
from parlour.roster.roles import FIXED_KINDS, Right, Role, may

FORMAT: Final = 1
# Account, role, since, key: hot, as the hash of a state is made with every change of a group.
_MEMBER: Final = Struct(">16sBQ32s")


@dataclass(frozen=True, slots=True)
class Member:
    """One account: its role, the number of the entry that brought it in, its account key then."""

    role: Role
    since: int
    key: bytes = NO_KEY


@dataclass(frozen=True, slots=True)
class Link:
    """A link that is open. `uses` are left; `expires_at` counts milliseconds.

    It is good as long as who opened it may open one.
    """

    public_key: bytes
    role: Role
    uses: int
    expires_at: int
    opened_by: bytes


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that is open, for accounts of at least `min_role`."""

    kind: ChannelKind
    min_role: Role


def rank(account: bytes, member: Member) -> tuple[int, int, bytes]:
    """The roster's order: the higher role first, then who came first, then the lower id."""
    return -member.role, member.since, account


@dataclass(frozen=True)
class RosterState:
    """The state after an entry. `stream` is the conversation's own.

    `barred` are accounts that were removed while a link was open: they do not come back by it.
    """

    roster_id: bytes
    stream: bytes
    kind: Kind
    members: Mapping[bytes, Member]
    name_commitment: bytes | None = None
    links: Mapping[bytes, Link] = field(default_factory=dict)
    channels: Mapping[bytes, Channel] = field(default_factory=dict)
    barred: frozenset[bytes] = frozenset()

    # --- Who may what ---

    @cached_property
    def first(self) -> bytes:
        """The first account by `ordered`. It counts as owner, so that there always is one."""
        return min(self.members, key=lambda account: rank(account, self.members[account]))

    def ordered(self) -> list[bytes]:
        """All accounts, by role (the highest first), the entry that brought them in, and id."""
        return sorted(self.members, key=lambda account: rank(account, self.members[account]))

    def effective_role(self, account: bytes) -> Role | None:
        """What the account counts as; None for a stranger."""
        member = self.members.get(account)
        if member is None:
            return None
        return Role.OWNER if account == self.first else member.role

    def may(self, account: bytes, right: Right) -> bool:
        """Whether the account has the right, over those whose role is not above its own."""
        role = self.effective_role(account)
        return role is not None and may(self.kind, role, right)

    def may_remove(self, account: bytes, other: bytes) -> bool:
        """Whether the account may put the other one out."""
        return self.may(account, Right.REMOVE) and self._reaches(account, other)

    def may_set_role(self, account: bytes, other: bytes, role: Role) -> bool:
        """Whether the account may give the other one that role."""
        return (
            self.may(account, Right.SET_ROLE)
            and self._reaches(account, other)
            and role <= (self.effective_role(account) or 0)
        )

    def _reaches(self, account: bytes, other: bytes) -> bool:
        one, another = self.effective_role(account), self.effective_role(other)
        return one is not None and another is not None and another <= one

    def may_read(self, account: bytes, stream: bytes) -> bool:
        """Whether the account may read the conversation's stream, or that of a channel."""
        role = self.effective_role(account)
        if role is None:
            return False
        if stream == self.stream:
            return True
        channel = self.channels.get(stream)
        return channel is not None and role >= channel.min_role

    def admits(self, account: bytes, key: bytes | None) -> bool:
        """Whether the account is in, and `key`, its account key, is the one it came in under.

        Only then a device of it comes in. In conversations of fixed kinds people decide about a
        changed key themselves: nobody could add each other there again.
        """
        member = self.members.get(account)
        if member is None:
            return False
        return self.kind in FIXED_KINDS or (member.key == key and key != NO_KEY)

    def differing(self, other: RosterState) -> set[bytes]:
        """Accounts in this state that are not in the other one, or by another entry.

        Of a later state, who came after an earlier one; of the earlier one, who went. Who was put
        out and asked in again is among both.
        """
        find = other.members.get
        # Who stayed is mostly the same object in both: of 1,500 members one look at each.
        return {
            account
            for account, member in self.members.items()
            if (known := find(account)) is not member
            and (known is None or known.since != member.since)
        }

    # --- Encoding ---

    def encode(self) -> bytes:
        """Encode it: equal states have equal bytes.

        ::

            struct { opaque account[16]; uint8 role; uint64 since; opaque key[32]; } Member;
            struct {
                opaque link_id[16];
                opaque public_key[32];
                uint8  role;
                uint32 uses;
                uint64 expires_at;
                opaque opened_by[16];
            } Link;
            struct { opaque channel[16]; uint8 kind; uint8 min_role; } Channel;
            struct {
                uint8   format = 1;
                opaque  roster_id[16];
                opaque  stream[16];
                uint8   kind;
                Member  members<V>;             /* this and what follows: by ascending ids */
                optional<opaque[32]> name_commitment;
                Link    links<V>;
                Channel channels<V>;
                opaque  barred<V>;              /* account ids, one after the other */
            } RosterState;
        """
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        pack = _MEMBER.pack
        writer = Writer().uint8(FORMAT).fixed(self.roster_id, ID_SIZE).fixed(self.stream, ID_SIZE)
        writer.uint8(self.kind)
        records = sorted(
            [
                pack(account, each.role, each.since, each.key)
                for account, each in self.members.items()
            ]
        )
        writer.opaque(b"".join(records))
        writer.optional(self.name_commitment, lambda inner, value: inner.fixed(value, SHA256_SIZE))
        writer.vector(sorted(self.links.items(), key=_id), _write_link)
        writer.vector(sorted(self.channels.items(), key=_id), _write_channel)
        return writer.opaque(b"".join(sorted(self.barred))).data()

    @classmethod
    def decode(cls, data: bytes) -> RosterState:
        """Decode one; whether it is the right one, `Roster.of_state` finds out."""
        if len(data) > MAX_STATE_SIZE:
            raise DecodeError(Code.DECODE_OVERSIZED, "the state of a roster")
        try:
            return decode(data, cls._read)
        except ValueError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "the state of a roster") from error

    @classmethod
    def _read(cls, reader: Reader) -> RosterState:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "the state of a roster")
        return cls(
            roster_id=reader.fixed(ID_SIZE),
            stream=reader.fixed(ID_SIZE),
            kind=Kind(reader.uint8()),
            members=_read_members(reader),
            name_commitment=reader.optional(lambda inner: inner.fixed(SHA256_SIZE)),
            links=_mapping(reader.vector(_read_link, MAX_LINKS)),
            channels=_mapping(reader.vector(_read_channel, MAX_CHANNELS)),
            barred=frozenset(_read_barred(reader)),
        )

    def hash(self) -> bytes:
        """What the entry that leads to this state names, 32 bytes."""
        return self._hash

    @cached_property
    def _hash(self) -> bytes:
        return sha256(Writer().opaque(labels.STATE_HASH).opaque(self._encoded).data())


def _id(item: tuple[bytes, Any]) -> bytes:
    return item[0]


def _write_link(writer: Writer, item: tuple[bytes, Link]) -> None:
    link_id, link = item
    writer.fixed(link_id, ID_SIZE).fixed(link.public_key, ED25519_KEY_SIZE)
    writer.uint8(link.role).uint32(link.uses).uint64(link.expires_at)
    writer.fixed(link.opened_by, ID_SIZE)


def _read_link(reader: Reader) -> tuple[bytes, Link]:
    return reader.fixed(ID_SIZE), Link(
        public_key=reader.fixed(ED25519_KEY_SIZE),
        role=Role(reader.uint8()),
        uses=reader.uint32(),
        expires_at=reader.uint64(),
        opened_by=reader.fixed(ID_SIZE),
    )


def _write_channel(writer: Writer, item: tuple[bytes, Channel]) -> None:
    channel_id, channel = item
    writer.fixed(channel_id, ID_SIZE).uint8(channel.kind).uint8(channel.min_role)


def _read_channel(reader: Reader) -> tuple[bytes, Channel]:
    return reader.fixed(ID_SIZE), Channel(ChannelKind(reader.uint8()), Role(reader.uint8()))


def _read_members(reader: Reader) -> dict[bytes, Member]:
    data = reader.opaque(MAX_ACCOUNTS * _MEMBER.size)
    if not data or len(data) % _MEMBER.size:
        raise DecodeError(Code.DECODE_MALFORMED, "the members of a roster")
    return _mapping(
        [
            (account, Member(Role(role), since, key))
            for account, role, since, key in _MEMBER.iter_unpack(data)
        ]
    )


def _read_barred(reader: Reader) -> list[bytes]:
    data = reader.opaque(MAX_ACCOUNTS * ID_SIZE)
    if len(data) % ID_SIZE:
        raise DecodeError(Code.DECODE_MALFORMED, "the barred accounts of a roster")
    accounts = [data[at : at + ID_SIZE] for at in range(0, len(data), ID_SIZE)]
    return list(_mapping([(account, None) for account in accounts]))


def _mapping(items: list[tuple[bytes, Any]]) -> dict[bytes, Any]:
    """What was read, in ascending order: another one would give a state two hashes."""
    if any(one >= other for (one, _), (other, _) in pairwise(items)):
        raise DecodeError(Code.DECODE_MALFORMED, "a roster's state out of order")
    return dict(items)
