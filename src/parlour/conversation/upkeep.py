"""What has to be done regularly: prekeys, cursors, catching up."""

from __future__ import annotations

from typing import Final

from parlour.conversation.changes import TrimSilent
from parlour.conversation.events import ServerMisbehaved
from parlour.conversation.numbers import settled, start_over
from parlour.conversation.pending import LONGEST_PAUSE
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.double_ratchet.prekey_store import PrekeyStore, PrekeyUpload
from parlour.double_ratchet.prekeys import Prekey, PrekeyKind
from parlour.errors import Code
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_STREAMS_PER_REQUEST
from parlour.wire.prekeys import Prekey as WirePrekey
from parlour.wire.prekeys import PrekeyCounts, PublishPrekeys
from parlour.wire.prekeys import PrekeyKind as WireKind
from parlour.wire.streams import Acknowledge, CatchUp, Position

PUBLISH: Final = "publish"
CATCH_UP: Final = "catch-up"
ACKNOWLEDGE: Final = "acknowledge"
# Milliseconds until what came is acknowledged, up to twice as long; and between looks at prekeys.
ACKNOWLEDGE_EVERY: Final = 1000
MAINTAIN_EVERY: Final = 24 * 3_600_000
# As long as a server keeps an entry for devices that did not read it, in milliseconds.
SILENT_KEPT: Final = 30 * MAINTAIN_EVERY

_WIRE_KINDS: Final[dict[PrekeyKind, WireKind]] = {
    PrekeyKind.X25519_SIGNED: "signed",
    PrekeyKind.X25519_ONE_TIME: "one_time",
    PrekeyKind.MLKEM1024_LAST_RESORT: "kem_last_resort",
    PrekeyKind.MLKEM1024_ONE_TIME: "kem_one_time",
}


def wire_prekey(prekey: Prekey) -> WirePrekey:
    """A prekey as the directory takes it."""
    return WirePrekey(
        kind=_WIRE_KINDS[prekey.kind],
        key_id=prekey.id,
        expires_at=prekey.expiry,
        data=prekey.to_bytes(),
    )


def first_upload(prekeys: PrekeyStore) -> tuple[PrekeyUpload, list[WirePrekey]]:
    """What a new device publishes when it registers."""
    upload = prekeys.publish()
    return upload, [wire_prekey(prekey) for prekey in upload.prekeys]


class Upkeep:
    """Keeps prekeys fresh, cursors moving and streams caught up."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._upload: PrekeyUpload | None = None
        self._maintained_at: int | None = None
        # Not written down: after a restart the server is told once more.
        self._told: dict[bytes, int] = {}
        # Since when something was not acknowledged (ms), and whether anything ever was.
        self._ahead_since: int | None = None
        self._has_told = False
        self._tell_every = ACKNOWLEDGE_EVERY
        self._misbehaved: set[str] = set()
        # Streams that the server does not know: one position of them, and it answers nothing else.
        self._unknown: set[bytes] = set()

    def connected(self) -> None:
        """What a server did not know, it may know by now."""
        self._unknown.clear()

    def is_unknown(self, stream: bytes) -> None:
        """The server does not know a stream, as it says: it is not asked for on this connection."""
        self._unknown.add(stream)

    # --- Prekeys -------------------------------------------------------------------------

    def maintain(self, now: int) -> None:
        """Rotate and erase prekeys and sessions that are due; at most daily."""
        if self._maintained_at is not None and _is_recent(self._maintained_at, now):
            return
        self._maintained_at = now
        self._replenish(now, None, None)
        self._memory.changes.append(TrimSilent(now - SILENT_KEPT))
        done = self._memory.upkeep
        if _is_recent(done.expired_at, now):
            return
        done.expired_at = now
        self._memory.put_upkeep()
        for sessions in self._memory.all_sessions():
            sessions.expire(now // 1000)
            self._memory.put_sessions(sessions.peer)

    def counted(self, counts: PrekeyCounts, now: int) -> None:
        """The server says how many one-time prekeys are left."""
        self._replenish(now, counts.one_time, counts.one_time_kem)

    def prekeys_left(self, left: int, now: int) -> None:
        """The smaller of both counts, as a connection begins with it."""
        self._replenish(now, left, left)

    def _replenish(self, now: int, left: int | None, kem_left: int | None) -> None:
        if self._upload is not None:
            return
        prekeys = self._memory.prekeys
        due = prekeys.maintain(
            now // 1000, self._memory.random, one_time_left=left, one_time_kem_left=kem_left
        )
        upload = prekeys.publish()
        # A rotation before the last stop may not have reached the server.
        if due or upload.signed_prekey.id != self._memory.upkeep.published:
            self._upload = upload
        self._memory.put_prekeys()

    def published(self) -> None:
        """The server has what was uploaded."""
        if self._upload is not None:
            self._memory.prekeys.mark_published(self._upload)
            self._memory.put_prekeys()
            self._memory.upkeep.published = self._upload.signed_prekey.id
            self._memory.put_upkeep()
            self._upload = None

    # --- Cursors -------------------------------------------------------------------------

    def positions(self) -> list[Position]:
        """How far each stream was read."""
        own = Position(stream=self._memory.device_id, seq=self._memory.inbox.received)
        read = [
            Position(stream=conversation.stream, seq=conversation.received)
            for conversation in self._memory.conversations.values()
            if conversation.stream
            and conversation.stream not in self._unknown
            and not self._memory.groups.is_founding(conversation.stream)
        ]
        refused = [Position(stream, seq) for stream, seq in self._memory.refused.items()]
        return [own, *refused, *read][:MAX_STREAMS_PER_REQUEST]

    def _handled(self) -> list[Position]:
        """How far each stream was handled altogether: what is in a gap must not be trimmed."""
        inbox = self._memory.inbox
        first = {self._memory.device_id: settled(inbox)}
        for conversation in self._memory.conversations.values():
            first[conversation.stream] = settled(conversation)
        return [
            Position(position.stream, first.get(position.stream, position.seq))
            for position in self.positions()
        ]

    def _unacknowledged(self) -> list[Position]:
        ahead = [
            position
            for position in self._handled()
            if position.seq != self._told.get(position.stream, 0)
        ]
        return ahead[:MAX_STREAMS_PER_REQUEST]

    def acknowledged(self, told: Acknowledge) -> None:
        """The server knows how far we read."""
        self._tell_every = ACKNOWLEDGE_EVERY
        self._told.update((position.stream, position.seq) for position in told.positions)

    def not_acknowledged(self) -> None:
        """The server did not take it: nobody is to wake up each second for that."""
        self._tell_every = min(2 * self._tell_every, LONGEST_PAUSE)

    def restored(self) -> None:
        """The server's data is from a backup: its numbers may come again, so read all of it.

        Conversations that are younger than the backup are unknown there: each is asked for again,
        and made again.
        """
        for conversation in self._memory.conversations.values():
            start_over(conversation)
            self._memory.put_conversation(conversation)
        self._memory.refused.clear()
        self._memory.inbox.received = 0
        self._memory.inbox.gaps = []
        self._told.clear()
        self._memory.put_inbox()

    # --- A server that breaks the protocol ------------------------------------------------

    def misbehaved(self, what: str, reason: Code) -> None:
        """Say once that the server answered badly; `answered_well` ends it."""
        if what not in self._misbehaved:
            self._misbehaved.add(what)
            self._memory.events.append(ServerMisbehaved(what, reason))

    def answered_well(self, what: str) -> None:
        """The server answered as it should."""
        self._misbehaved.discard(what)

    # --- Needs ---------------------------------------------------------------------------

    def requests(self, now: int, *, behind: bool) -> list[ServerRequest]:
        """What upkeep wants from the server."""
        needs = []
        if self._upload is not None:
            upload = [wire_prekey(prekey) for prekey in self._upload.prekeys]
            body = PublishPrekeys(prekeys=upload)
            needs.append(ServerRequest((PUBLISH, b""), Kind.PUBLISH_PREKEYS, body))
        if behind:
            catch_up = CatchUp(positions=self.positions())
            needs.append(ServerRequest((CATCH_UP, b""), Kind.CATCH_UP, catch_up))
        positions = self._unacknowledged()
        if self._is_time_to_tell(now, ahead=bool(positions)):
            told = Acknowledge(positions=positions)
            needs.append(ServerRequest((ACKNOWLEDGE, b""), Kind.ACKNOWLEDGE, told))
        return needs

    def _is_time_to_tell(self, now: int, *, ahead: bool) -> bool:
        """Whether to acknowledge now: at once on a start, then a while after something came.

        Each device at a time of its own: what goes to a thousand of them would else be answered by
        all of them, before the last one has it.
        """
        if not ahead:
            self._ahead_since = None
            return False
        # A clock that went back must not keep the server from trimming.
        if self._ahead_since is None or now < self._ahead_since:
            self._ahead_since = now
        if self._has_told and now < self._ahead_since + self._acknowledged_after:
            return False
        self._ahead_since, self._has_told = now, True
        return True

    @property
    def _acknowledged_after(self) -> int:
        return self._tell_every + int.from_bytes(self._memory.device_id[:2]) % ACKNOWLEDGE_EVERY

    def next_timeout(self, *, online: bool) -> int | None:
        """When prekeys are looked at again, or the server is told how far we read."""
        if online and self._ahead_since is not None:
            return self._ahead_since + self._acknowledged_after
        return None if self._maintained_at is None else self._maintained_at + MAINTAIN_EVERY


def _is_recent(then: int, now: int) -> bool:
    """Whether it is less than a day ago. A clock that went back makes it not recent."""
    return then <= now < then + MAINTAIN_EVERY
