"""What hostile or broken members send: each is refused by name, and nothing has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.roster import (
    Role,
    RosterEntry,
)
from parlour.wire.groups import Handshake
from tests.served_groups import (
    Device,
    Room,
    Services,
)

Make = Callable[["Case"], Awaitable[tuple[Device, Handshake]]]
OTHER_KEY = "a leaf of an account that shows another key than it came in under"
invalid = Code.GROUP_INVALID


class Case:
    """Ada owns a group of three; Bea is a member with a tablet, Cid a moderator; Eve is nobody."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def begin(self) -> Case:
        services = self.services
        self.ada, self.bea, self.cid, self.eve = await services.devices("ada", "bea", "cid", "eve")
        self.room = await Room.of(services, self.ada, self.bea)
        self.tablet = await services.another(self.bea, "tablet")
        await self.room.add(self.ada, self.tablet)
        await self.room.add(self.ada, self.cid, role=Role.MODERATOR)
        self.room.known.append(self.eve)
        return self

    def forged_entry(self, by: Device, *changes: Any, **fields: Any) -> RosterEntry:
        """An entry that nobody would make."""
        roster = self.room.roster
        values: dict[str, Any] = {
            "roster_id": roster.state.roster_id,
            "number": roster.number + 1,
            "previous": roster.head_hash,
            "changes": changes,
            "state_hash": bytes(32),
            "signer_account": by.account,
            "signer_device": by.id,
            "at": self.services.now,
        }
        return RosterEntry(**(values | fields)).sign(by.key)


class Cases(dict[str, tuple[Make, Code, str]]):
    """What is sent, by the name of the function that makes it; and how it is refused."""

    def __call__(self, code: Code, detail: str) -> Callable[[Make], Make]:
        def note(make: Make) -> Make:
            self[make.__name__.strip("_")] = (make, code, detail)
            return make

        return note


def dump(services: Services) -> list[str]:
    """All that is in the database about groups and entries."""
    path = services._folder / "parlour.db"
    with closing(sqlite3.connect(path)) as connection:
        return [
            str(row)
            for table in (
                "streams",
                "entries",
                "parts",
                "members",
                "former_members",
                "mls_groups",
                "group_nodes",
                "group_leaves",
                "group_proposals",
                "group_epochs",
            )
            for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608
        ]


async def check_refused(services: Services, make: Make, code: Code, detail: str) -> None:
    """That a case is refused so, and changes nothing."""
    case = await Case(services).begin()
    device, request = await make(case)
    before = dump(services)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(device.grant, request)
    assert refusal.value.code == code
    assert detail in refusal.value.detail
    assert dump(services) == before
    # The group goes on, whoever else has been confused.
    for each in case.room.devices:
        if each.live.pending is not None:
            each.live.clear_pending()
    if case.cid.live.proposals:
        return
    await services.groups.handshake(case.cid.grant, case.room.commit(case.cid))
