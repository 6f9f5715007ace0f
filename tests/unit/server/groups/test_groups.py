"""A group from its founding on: what honest devices do, and what the server keeps of it."""

from __future__ import annotations

from parlour.wire.groups import ReadGroup
from tests.served_groups import Room, Services


async def test_a_group_grows_speaks_and_shrinks(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.found(services, ada)
    handled = await room.add(ada, bea, cid)
    assert (handled.seq, handled.generation, handled.epoch) == (1, 0, 1)
    appended = await room.say(bea, b"hello")
    assert appended.seq == 2
    state = await services.groups.read(cid.grant, ReadGroup(room.stream))
    assert state.tree == cid.live.tree()
    assert (state.seq, state.epoch) == (1, 1)
    entries = await room.entries(cid)
    assert [each.seq for each in entries] == [1, 2]
    assert cid.live.decrypt(entries[1].envelope.body, services.now // 1000).data == b"hello"
