"""What is kept of a group, as it stands in the local store.

Small records that change often stand apart from large ones that change with the epoch: the group
(`GroupRecord`), its roster (`RosterRecord`), the public and the secret half of its MLS state, what
a person wants (`Intent`), and entries that wait for their turn (`Entry` itself).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from parlour.wire.streams import Entry

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]


class GroupState(StrEnum):
    """Where this device stands in a group."""

    FOUNDING = "founding"
    """We make it; the server may not know of it yet."""
    JOINING = "joining"
    """On its roster, without its keys: the Welcome, or a commit of our own, is to come."""
    ACTIVE = "active"
    """A member that follows."""
    REPAIRING = "repairing"
    """A member that lost its way; the ladder is being climbed (`repairing`)."""
    LEFT = "left"
    """We left, or were removed."""


class Acceptance(StrEnum):
    """Whether the person has said yes to being in a group."""

    ACCEPTED = "accepted"
    INVITED = "invited"
    """Somebody whom they have not accepted put them in; messages wait."""
    DECLINED = "declined"
    """They said no; the leave is on its way."""


class Want(StrEnum):
    """What somebody wants of a group, bound to no epoch."""

    ADD = "add"
    REMOVE = "remove"
    ROLE = "role"
    RENAME = "rename"
    LEAVE = "leave"
    OPEN_LINK = "open_link"
    CLOSE_LINK = "close_link"
    UPDATE = "update"
    """Fresh keys of our own leaf."""


class Intent(Struct, frozen=True):
    """One wish of the person on this device, until a commit of ours, or the roster, fulfils it."""

    intent_id: _Id
    group: _Id
    order: int
    want: Want
    since: int
    accounts: list[bytes] = []
    role: int = 1
    name: str = ""
    salt: bytes = b""
    link_id: bytes = b""
    public_key: bytes = b""
    uses: int = 0
    expires_at: int = 0

    def __repr__(self) -> str:
        return f"Intent({self.want.value}, {len(self.accounts)} accounts)"


class EpochTag(Struct, array_like=True, frozen=True):
    """What tells one epoch from another one of the same number, for comparing with others.

    `seq` is the number of the entry with which it began.
    """

    generation: int
    epoch: int
    tag: bytes
    seq: int = 0


class Sent(StrEnum):
    """What a pending request does."""

    FOUND = "found"
    COMMIT = "commit"
    PROPOSAL = "proposal"
    JOIN = "join"
    RESTART = "restart"


class Pending(Struct, frozen=True):
    """A request of ours that was sent, or is about to be: exactly these bytes go out again."""

    what: Sent
    client_id: bytes
    request: bytes
    generation: int
    epoch: int
    intents: list[bytes] = []

    def __repr__(self) -> str:
        return f"Pending({self.what.value}, epoch={self.epoch}, [{len(self.request)} bytes])"


class Step(StrEnum):
    """The rungs of the ladder (`ladder`)."""

    FETCH = "fetch"
    """Read again what the server may have left out."""
    ASK = "ask"
    """Ask members to take this device out and in again, by one commit."""
    REJOIN = "rejoin"
    """Come in by a commit of our own, in the place of our former leaf."""
    WAIT = "wait"
    """Nothing helped for now; it is tried again after a pause."""


class Trouble(Struct, frozen=True):
    """Why a group can't be followed: the entry at which we stopped, since when, and what was done.

    `step` is the rung of the ladder (`ladder`), `since` when it was reached (ms), `asked` how often
    others were asked, `rounds` how often all rungs were climbed in vain. `broken` when a commit won
    that we can't follow, and `culprit` the account that made it, where that is certain.
    """

    seq: int
    epoch: int
    reason: str
    began: int
    step: Step
    since: int
    culprit: bytes = b""
    broken: bool = False
    asked: int = 0
    rounds: int = 0


NOWHERE: Final = (0, 0)
"""The generation and epoch of who never came in."""


class Late(Struct, array_like=True, frozen=True):
    """The number of a message of ours, and of the entry with which its epoch began."""

    began: int
    seq: int


class Former(Struct, array_like=True, frozen=True):
    """A time that somebody was in a group: what brought them in and out, and their key then."""

    came: int
    went: int
    key: bytes


class GroupRecord(Struct):
    """One group. Its id is its stream's.

    `highest` (generation and epoch), `roster_number` and `roster_head` (a hash) are the furthest
    that was followed; they are kept when the keys are lost, so that nobody leads us back.
    `joined_seq` is the number of the entry with which we came in, 0 before we did; `joined_epoch`
    (generation and epoch) is where. `is_newcomer` when our account came in by the same commit: what
    was said before is not ours then.
    `late` are messages of ours that got their number after their epoch was over, by id, and
    `late_until` the number of the newest one that is not remembered any more. `former` are
    accounts that were in it, and when, `times` the first and last epochs of each time that we were
    in before this one, `gone` the entries that took devices out.
    `followed_seq` is that of the last commit that was merged, `followed_at` the time of the newest
    one (ms) by the server's clock.
    `founding` are the accounts that we are about to bring in, `leaving` statements of those who
    want out, `reports` who could not follow the commit that we stand at, and since when (ms).
    `link` is the id of the link by which we came, `link_text` the link itself until we are in.
    `unconfirmed` after we joined by a commit of our own, until a member has answered.
    `renew_at` is when we renew our own keys after coming, 0 when we have.
    `peer` is the other account of a conversation of two.
    `begun_by` is the account that began the generation in which nobody has added us yet.
    `unlisted` are accounts whose lists the server does not give, and since when (ms).
    `wish_packages` are the references of key packages that our own wishes to be added again name,
    and the times of those. `joined_at` is when we came in, or began the group again (ms), by the
    server's clock.
    `wishes` are the times (ms) of the wishes to be added again that were fulfilled, by device.
    `shut_out` when we left it because the server said that there is no such group for us.
    `said_in` is the generation and epoch in which we said something last.
    `letting_go` when we left it, and read its stream no more once nothing is missing from before.
    """

    group: _Id
    genesis: bytes
    state: GroupState
    acceptance: Acceptance = Acceptance.ACCEPTED
    decided_at: int = 0
    generation: int = 0
    name: str = ""
    salt: bytes = b""
    inviter: bytes = b""
    highest: tuple[int, int] = (0, 0)
    roster_number: int = 0
    roster_head: bytes = b""
    joined_seq: int = 0
    joined_epoch: tuple[int, int] = (0, 0)
    is_newcomer: bool = False
    followed_seq: int = 0
    unconfirmed: bool = False
    refreshed_at: int = 0
    sent_since: int = 0
    renew_at: int = 0
    pending: Pending | None = None
    trouble: Trouble | None = None
    rejoined: list[int] = []
    tags: list[EpochTag] = []
    founding: list[bytes] = []
    leaving: list[bytes] = []
    reports: dict[bytes, int] = {}
    link: bytes = b""
    link_text: str = ""
    base: bytes = b""
    peer: bytes = b""
    wishes: dict[bytes, int] = {}
    shut_out: bool = False
    letting_go: bool = False
    late: dict[bytes, Late] = {}
    late_until: int = 0
    former: dict[bytes, tuple[Former, ...]] = {}
    gone: dict[bytes, int] = {}
    followed_at: int = 0
    begun_by: bytes = b""
    unlisted: dict[bytes, int] = {}
    wish_packages: dict[bytes, int] = {}
    joined_at: int = 0
    times: list[tuple[tuple[int, int], tuple[int, int]]] = []
    said_in: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        return f"GroupRecord({self.group.hex()}, {self.state.value})"


class RosterRecord(Struct, frozen=True):
    """The roster as of the current epoch, encoded, and since which entry each account is in it.

    `recent` are its newest entries: a server whose data is from a backup has to be told them again.
    """

    state: bytes
    head: bytes
    since: dict[bytes, int]
    recent: list[bytes] = []

    def __repr__(self) -> str:
        return f"RosterRecord({len(self.since)} accounts)"


class Waiting(Struct, frozen=True):
    """An entry whose turn has not come: what is before it waits for something."""

    entry: Entry
    since: int
