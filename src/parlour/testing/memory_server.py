"""The server as a model in memory: what the wire promises, without disk, network or login.

A test may make it lie: `deliver` may change, drop or repeat each entry that a device gets, `answer`
each answer, and its tables are plain attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from parlour.errors import Code, error
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster.changes import Added
from parlour.roster.entry import RosterEntry
from parlour.testing.memory_groups import MemoryGroups
from parlour.wire import directory, groups, prekeys, profiles, server, streams
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE

Deliver = Callable[[streams.Entry, bytes], list[streams.Entry]]
Answer = Callable[[bytes, Kind, Struct, Struct], Struct]


@dataclass(slots=True)
class _Stored:
    entry: streams.Entry
    parts: dict[bytes, bytes]


@dataclass(slots=True)
class _Stream:
    info: streams.StreamInfo
    entries: list[_Stored] = field(default_factory=list)
    by_client_id: dict[tuple[bytes, bytes], _Stored] = field(default_factory=dict)


@dataclass(slots=True)
class _Account:
    name: str
    account_id: bytes
    entries: list[bytes] = field(default_factory=list)

    @property
    def state(self) -> DeviceListState:
        """The list as it is now."""
        return DeviceListState.after(DeviceListEntry.decode(self.entries[-1]))

    @property
    def devices(self) -> list[bytes]:
        return [device.device_id for device in self.state.devices]


class MemoryServer:
    """Answers requests of devices that `add_account` knows. `now` is in milliseconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.incarnation = bytes(16)
        self.accounts: dict[bytes, _Account] = {}
        # How many lists, or key packages, have room in one answer.
        self.lists_per_answer = 500
        self.streams: dict[bytes, _Stream] = {}
        self.prekeys: dict[bytes, list[prekeys.Prekey]] = {}
        self.deliver: Deliver = lambda entry, device_id: [entry]
        self.answer: Answer = lambda device_id, kind, body, answer: answer
        self.acknowledged: dict[tuple[bytes, bytes], int] = {}
        self.profiles: dict[bytes, bytes] = {}
        self.key_packages: dict[bytes, list[groups.KeyPackageUpload]] = {}
        # Last resorts that were given out.
        self.given_out: set[bytes] = set()
        self.groups = MemoryGroups(self._find_key)
        # From which entry on an account may read a group, and up to which.
        self.windows: dict[tuple[bytes, bytes], tuple[int, int | None]] = {}

    def add_account(
        self, name: str, entry: DeviceListEntry, uploaded: list[prekeys.Prekey]
    ) -> None:
        """Register an account with one device."""
        account = _Account(name, entry.account_id, [entry.encode()])
        self.accounts[entry.account_id] = account
        for device_id in account.devices:
            self._add_inbox(account, device_id)
            self.prekeys[device_id] = list(uploaded)

    def add_device(
        self, entry: DeviceListEntry, device_id: bytes, uploaded: list[prekeys.Prekey]
    ) -> None:
        """Append an entry to an account's list, with a device that is new on it."""
        account = self.accounts[entry.account_id]
        account.entries.append(entry.encode())
        self._add_inbox(account, device_id)
        self.prekeys[device_id] = list(uploaded)

    def _add_inbox(self, account: _Account, device_id: bytes) -> None:
        info = streams.StreamInfo(device_id, "inbox", [account.account_id], b"", 0)
        self.streams[device_id] = _Stream(info)

    def account_of(self, device_id: bytes) -> bytes:
        """The account that a device is on."""
        return next(
            account.account_id for account in self.accounts.values() if device_id in account.devices
        )

    # --- The doors -----------------------------------------------------------------------

    def live_start(
        self, device_id: bytes, positions: list[streams.Position]
    ) -> streams.LiveStarted:
        """Begin a connection."""
        page = self._catch_up(device_id, positions)
        left = self._counts(device_id)
        return streams.LiveStarted(
            self.incarnation,
            self.now,
            page.streams,
            page.entries,
            page.more,
            min(left.one_time, left.one_time_kem),
        )

    def request(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        """Answer one request of a device, or raise the error that it would be sent."""
        return self.answer(device_id, kind, body, self._answer(device_id, kind, body))

    def _answer(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        match body:
            case directory.LookUp(name=name):
                account = next((a for a in self.accounts.values() if a.name == name), None)
                if account is None:
                    raise error(Code.ACCOUNT_UNKNOWN)
                return self._page(account, 0)
            case directory.ReadDeviceList(account_id=account_id, first=first):
                if account_id not in self.accounts:
                    raise error(Code.ACCOUNT_UNKNOWN)
                return self._page(self.accounts[account_id], first)
            case prekeys.FetchBundles():
                return self._bundles(body)
            case prekeys.PublishPrekeys(prekeys=uploaded):
                return self._publish(device_id, uploaded)
            case profiles.SetProfile() | profiles.ReadProfile():
                return self._profile(device_id, body)
            case streams.CreateConversation():
                return self._create(device_id, body)
            case streams.Append():
                return self._append(device_id, body)
            case streams.Read() | streams.CatchUp():
                return self._read(device_id, body)
            case streams.Acknowledge(positions=positions):
                return self._acknowledge(device_id, positions)
            case _:
                return self._answer_for_groups(device_id, kind, body)

    def _answer_for_groups(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        match body:
            case groups.ReadDeviceLists(lists=lists):
                return self._pages(lists)
            case groups.ReadListHeads(account_ids=account_ids):
                return self._heads(account_ids)
            case groups.PublishKeyPackages(packages=uploaded):
                return self._publish_key_packages(device_id, uploaded)
            case groups.FetchKeyPackages():
                return self._key_packages(body)
            case server.Nothing() if kind is Kind.COUNT_KEY_PACKAGES:
                return self._count_key_packages(device_id)
            case groups.CreateGroup():
                return self._create_group(device_id, body)
            case groups.Handshake():
                return self._handshake(device_id, body)
            case groups.ReadGroup():
                return self.groups.read(body)
            case groups.RestartGroup():
                return self._restart(device_id, body)
            case _:
                raise error(Code.USAGE_INVALID, kind.name)

    def _acknowledge(self, device_id: bytes, positions: list[streams.Position]) -> Struct:
        for position in positions:
            self.acknowledged[(device_id, position.stream)] = position.seq
        return server.Nothing()

    def _profile(
        self, device_id: bytes, body: profiles.SetProfile | profiles.ReadProfile
    ) -> Struct:
        if isinstance(body, profiles.SetProfile):
            self.profiles[self.account_of(device_id)] = body.profile
            return server.Nothing()
        if body.account_id not in self.profiles:
            raise error(Code.PROFILE_UNKNOWN)
        return profiles.SealedProfile(self.profiles[body.account_id])

    # --- Directory -----------------------------------------------------------------------

    def _page(self, account: _Account, first: int) -> directory.DeviceListPage:
        entries = account.entries[first : first + MAX_DEVICE_LIST_PAGE]
        more = first + len(entries) < len(account.entries)
        return directory.DeviceListPage(account.account_id, account.name, first, entries, more)

    def _pages(self, lists: list[groups.KnownList]) -> groups.DeviceListPages:
        pages = []
        for known in lists[: self.lists_per_answer]:
            account = self.accounts.get(known.account_id)
            if account is None:
                page = directory.DeviceListPage(known.account_id, "?", known.first, [], False)
            else:
                page = self._page(account, known.first)
            pages.append(page)
        return groups.DeviceListPages(pages)

    def _heads(self, account_ids: list[bytes]) -> groups.ListHeads:
        accounts = [self.accounts[each] for each in account_ids if each in self.accounts]
        entries = [DeviceListEntry.decode(account.entries[-1]) for account in accounts]
        return groups.ListHeads(
            [groups.ListHead(each.account_id, each.number, each.hash()) for each in entries]
        )

    # --- Key packages --------------------------------------------------------------------

    def _publish_key_packages(
        self, device_id: bytes, uploaded: list[groups.KeyPackageUpload]
    ) -> groups.KeyPackageCounts:
        stored = self.key_packages.setdefault(device_id, [])
        for package in uploaded:
            if package.last_resort:
                stored[:] = [
                    each
                    for each in stored
                    if not (each.last_resort and each.suite == package.suite)
                ]
            if package not in stored:
                stored.append(package)
        return self._count_key_packages(device_id)

    def _fresh_key_packages(self, device_id: bytes, suite: int) -> list[groups.KeyPackageUpload]:
        return [
            package
            for package in self.key_packages.get(device_id, [])
            if package.suite == suite and package.expires_at * 1000 > self.now
        ]

    def _count_key_packages(self, device_id: bytes) -> groups.KeyPackageCounts:
        counts = []
        for suite in sorted({each.suite for each in self.key_packages.get(device_id, [])}):
            fresh = self._fresh_key_packages(device_id, suite)
            last = [each.data for each in fresh if each.last_resort]
            used = any(data in self.given_out for data in last)
            counts.append(groups.KeyPackageCount(suite, len(fresh) - len(last), bool(last), used))
        return groups.KeyPackageCounts(counts)

    def _key_packages(self, body: groups.FetchKeyPackages) -> groups.FoundKeyPackages:
        found = []
        asked = body.device_ids[: self.lists_per_answer]
        for device_id in asked:
            fresh = self._fresh_key_packages(device_id, body.suite)
            package = min(fresh, key=lambda each: each.last_resort, default=None)
            if package is None:
                continue
            if package.last_resort:
                self.given_out.add(package.data)
            else:
                self.key_packages[device_id].remove(package)
            found.append(groups.FoundKeyPackage(device_id, package.last_resort, package.data))
        return groups.FoundKeyPackages(found, len(asked))

    # --- Prekeys -------------------------------------------------------------------------

    def _fresh(self, device_id: bytes) -> list[prekeys.Prekey]:
        """The prekeys of a device that have not expired."""
        stored = self.prekeys.get(device_id, [])
        stored[:] = [prekey for prekey in stored if prekey.expires_at * 1000 > self.now]
        return stored

    def _take(self, device_id: bytes, kind: prekeys.PrekeyKind) -> prekeys.Prekey | None:
        stored = self._fresh(device_id)
        found = next((prekey for prekey in stored if prekey.kind == kind), None)
        if found is not None and kind in ("one_time", "kem_one_time"):
            stored.remove(found)
        return found

    def _bundles(self, body: prekeys.FetchBundles) -> prekeys.Bundles:
        bundles = []
        for device_id in body.device_ids:
            signed = self._take(device_id, "signed")
            if signed is None:
                continue
            kem = self._take(device_id, "kem_one_time") or self._take(device_id, "kem_last_resort")
            one_time = self._take(device_id, "one_time")
            bundles.append(prekeys.Bundle(device_id, signed, one_time, kem))
        return prekeys.Bundles(bundles)

    def _publish(self, device_id: bytes, uploaded: list[prekeys.Prekey]) -> prekeys.PrekeyCounts:
        replaced = {prekey.kind for prekey in uploaded} & {"signed", "kem_last_resort"}
        known = {(prekey.kind, prekey.key_id) for prekey in uploaded}
        kept = [
            prekey
            for prekey in self.prekeys.get(device_id, [])
            if prekey.kind not in replaced and (prekey.kind, prekey.key_id) not in known
        ]
        self.prekeys[device_id] = kept + uploaded
        return self._counts(device_id)

    def _counts(self, device_id: bytes) -> prekeys.PrekeyCounts:
        kinds = [prekey.kind for prekey in self._fresh(device_id)]
        return prekeys.PrekeyCounts(kinds.count("one_time"), kinds.count("kem_one_time"))

    # --- Streams -------------------------------------------------------------------------

    def _create(self, device_id: bytes, body: streams.CreateConversation) -> streams.StreamInfo:
        members = sorted(body.members)
        for stream in self.streams.values():
            if stream.info.kind == body.kind and sorted(stream.info.members) == members:
                return stream.info
        info = streams.StreamInfo(body.stream, body.kind, members, body.genesis, 0)
        self.streams[body.stream] = _Stream(info)
        return info

    # --- Groups --------------------------------------------------------------------------

    def _find_key(self, account_id: bytes, device_id: bytes) -> Ed25519PublicKey | None:
        for data in self.accounts[account_id].entries:
            for device in DeviceListEntry.decode(data).devices:
                if device.device_id == device_id:
                    return device.signature_key
        return None

    def _create_group(self, device_id: bytes, body: groups.CreateGroup) -> streams.StreamInfo:
        entry = RosterEntry.decode(body.roster)
        members = sorted(change.account for change in entry.changes if isinstance(change, Added))
        if body.kind in ("direct", "self"):
            for stream in self.streams.values():
                if stream.info.kind == body.kind and sorted(stream.info.members) == members:
                    return stream.info
        if self.groups.create(body, self.now):
            info = streams.StreamInfo(body.stream, body.kind, members, body.genesis, 0)
            self.streams[body.stream] = _Stream(info)
        return self.streams[body.stream].info

    def _handled(
        self, body: groups.Handshake | groups.RestartGroup, stored: _Stored | None, *, again: bool
    ) -> groups.Handled:
        group = self.groups.groups[body.stream]
        seq = 0 if stored is None else stored.entry.seq
        return groups.Handled(
            stream=body.stream,
            client_id=body.client_id,
            seq=seq,
            stored_at=self.now,
            repeated=again,
            generation=group.generation,
            epoch=group.epoch,
            winners=[],
        )

    def _handshake(self, device_id: bytes, body: groups.Handshake) -> groups.Handled:
        stream = self.streams[body.stream]
        known = stream.by_client_id.get((device_id, body.client_id))
        if known is not None:
            return self._handled(body, known, again=True)
        if not self.groups.is_current(body):
            return self._handled(body, None, again=False)
        before, after = self.groups.follow(body, len(stream.entries) + 1, self.now)
        self._move(stream, before, after)
        return self._handled(body, self._store(device_id, body, body.parts), again=False)

    def _move(self, stream: _Stream, before: set[bytes], after: set[bytes]) -> None:
        """Let accounts read from the next entry on, and up to it."""
        seq, stream_id = len(stream.entries) + 1, stream.info.stream
        for account_id in after - before:
            self.windows[stream_id, account_id] = (seq, None)
        for account_id in before - after:
            first, _ = self.windows.get((stream_id, account_id), (1, None))
            self.windows[stream_id, account_id] = (first, seq)
        members = [*stream.info.members, *sorted(after - set(stream.info.members))]
        stream.info = replace(stream.info, members=members)

    def _restart(self, device_id: bytes, body: groups.RestartGroup) -> groups.Handled:
        stream = self.streams[body.stream]
        known = stream.by_client_id.get((device_id, body.client_id))
        if known is not None:
            return self._handled(body, known, again=True)
        before = self.groups.groups[body.stream].accounts
        if not self.groups.restart(body, len(stream.entries) + 1, self.now):
            return self._handled(body, None, again=False)
        self._move(stream, before, self.groups.groups[body.stream].accounts)
        return self._handled(body, self._store(device_id, body, []), again=False)

    def _store(
        self,
        device_id: bytes,
        body: groups.Handshake | groups.RestartGroup | streams.Append,
        parts: list[streams.Part],
    ) -> _Stored:
        stream = self.streams[body.stream]
        entry = streams.Entry(
            stream=body.stream,
            seq=len(stream.entries) + 1,
            sender_account=self.account_of(device_id),
            sender_device=device_id,
            client_id=body.client_id,
            stored_at=self.now,
            expires_at=None,
            envelope=body.envelope,
            part=None,
        )
        stored = _Stored(entry, {part.device_id: part.data for part in parts})
        stream.entries.append(stored)
        stream.by_client_id[(device_id, body.client_id)] = stored
        return stored

    def _append(self, device_id: bytes, body: streams.Append) -> streams.Appended:
        if body.stream not in self.streams:
            raise error(Code.STREAM_UNKNOWN)
        stream = self.streams[body.stream]
        known = stream.by_client_id.get((device_id, body.client_id))
        if known is None:
            members = [self.accounts[member] for member in stream.info.members]
            devices = {device for account in members for device in account.devices}
            if any(part.device_id not in devices for part in body.parts):
                raise error(Code.STREAM_PARTS)
            entry = self._store(device_id, body, body.parts).entry
            return streams.Appended(body.stream, body.client_id, entry.seq, self.now, False)
        seq, at = known.entry.seq, known.entry.stored_at
        return streams.Appended(body.stream, body.client_id, seq, at, True)

    def entries_for(self, device_id: bytes, stream_id: bytes, after: int) -> list[streams.Entry]:
        """The entries of a stream after a number, as a device gets them."""
        found: list[streams.Entry] = []
        account_id = self.account_of(device_id)
        first, last = self.windows.get((stream_id, account_id), (1, None))
        for stored in self.streams[stream_id].entries[after:last]:
            if stored.entry.seq < first:
                continue
            entry = replace(stored.entry, part=stored.parts.get(device_id))
            found += self.deliver(entry, device_id)
        return found

    def _read(self, device_id: bytes, body: streams.Read | streams.CatchUp) -> Struct:
        if isinstance(body, streams.CatchUp):
            if any(position.stream not in self.streams for position in body.positions):
                raise error(Code.STREAM_UNKNOWN)
            return self._catch_up(device_id, body.positions, body.limit)
        if body.stream not in self.streams:
            raise error(Code.STREAM_UNKNOWN)
        entries = self.entries_for(device_id, body.stream, body.after)
        return streams.Page(entries[: body.limit], len(entries) > body.limit)

    def _catch_up(
        self, device_id: bytes, positions: list[streams.Position], limit: int = 500
    ) -> streams.CaughtUp:
        after = {position.stream: position.seq for position in positions}
        account_id = self.account_of(device_id)
        infos, entries = [], []
        for stream_id, stream in self.streams.items():
            mine = account_id in stream.info.members
            if self.windows.get((stream_id, account_id), (1, None))[1] is not None:
                # Who was put out reads up to that, and is told no more of it.
                mine = stream_id in after
            if stream.info.kind == "inbox":
                mine = stream_id == device_id
            if not mine:
                continue
            if after.get(stream_id, -1) not in range(len(stream.entries) + 1):
                first, _ = self.windows.get((stream_id, account_id), (1, None))
                infos.append(replace(stream.info, last=len(stream.entries), first=first))
            entries += self.entries_for(device_id, stream_id, after.get(stream_id, 0))
        return streams.CaughtUp(infos, entries[:limit], len(entries) > limit)
