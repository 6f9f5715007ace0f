"""A store of one group in parts, which is compared with the group whenever it is written."""

from __future__ import annotations

from parlour.mls import Group, GroupRecords, PskStore, dump_group
from parlour.testing.mls import OPEN_POLICY


class Store:
    """What an application has on its disk."""

    def __init__(self, group: Group) -> None:
        self.live = GroupRecords(group)
        self.data: dict[bytes, bytes] = {}

    def keep(self) -> dict[bytes, bytes | None]:
        """Write what changed; then the store says what the group is, and nothing else."""
        changes = self.live.take_changes()
        for key, value in changes.items():
            if value is None:
                del self.data[key]
            else:
                self.data[key] = value
        assert self.live.keys == set(self.data)
        assert max(map(len, self.data)) <= 18
        loaded = self.load()
        assert dump_group(loaded.group) == dump_group(self.live.group)
        assert loaded.take_changes() == {}
        afresh = GroupRecords(loaded.group).take_changes()
        assert self.numbered(afresh) == self.numbered(self.data)
        return changes

    def numbered(self, records: dict[bytes, bytes] | dict[bytes, bytes | None]) -> object:
        """The same without the numbers of proposals, which say no more than their order."""
        proposals = [records[key] for key in sorted(records) if key.startswith(b"proposal")]
        rest = {key: value for key, value in records.items() if not key.startswith(b"proposal")}
        return proposals, rest

    def load(self) -> GroupRecords:
        """The group after a restart; with keys of its own, so that ours stay as they are."""
        return GroupRecords.load(dict(self.data), OPEN_POLICY, PskStore())

    def restart(self) -> Group:
        """Go on with what was stored."""
        member = self.live.group.member
        self.live = GroupRecords.load(dict(self.data), member.policy, member.psks)
        return self.live.group
