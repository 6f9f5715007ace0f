"""Who comes in by itself: back in the place of a former self, by a link, or at a new beginning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from parlour.errors import Code, LimitError, ParlourError
from parlour.roster import EXTENSION_TYPE, JoinedByLink, Removed, Role, RosterEntry
from parlour.roster.genesis import Kind
from parlour.roster.links import JoinLink
from parlour.roster.restart import MAX_LEAP
from parlour.server.limits import RESTARTS_PER_GROUP
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.groups import LinkPass, ReadGroup, RestartBody, encode_body
from parlour.wire.streams import Read
from tests.served_groups import Device, Room, Services, commit_body, unique

DAY = 86_400_000


async def refused(awaitable: Any) -> tuple[Code, str]:
    with pytest.raises(ParlourError) as raised:
        await awaitable
    return raised.value.code, raised.value.detail


async def comes_in(
    room: Room, device: Device, *entries: RosterEntry, resync: Any = None, **reading: Any
) -> None:
    """A device joins by a commit of its own, and all others follow it."""
    state = await room.services.groups.read(device.grant, ReadGroup(room.stream, **reading))
    request, pending = room.external(device, state, entries, resync=resync)
    await room.send(device, request)
    device.group = pending.confirm(commit_body(request).commit)
    room.devices.append(device)


# --- Coming back --------------------------------------------------------------------------------


async def test_a_device_comes_back_in_its_own_place(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    leaf = room.leaf(ada, bea)
    room.devices.remove(bea)
    bea.identity = bea.certified()
    await comes_in(room, bea, resync=leaf)
    assert room.leaf(ada, bea) == leaf
    await room.say(bea)
    await room.send(ada, room.commit(ada))
    services.forget()
    await room.send(bea, room.commit(bea))


async def test_a_device_without_a_leaf_does_not_come_in_by_itself(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    tablet = await services.another(bea, "tablet")
    code, detail = await refused(comes_in(room, tablet))
    assert (code, detail) == (Code.GROUP_INVALID, "a newcomer that is neither back nor let in")
    await room.add(ada, tablet)
    await room.say(tablet)


async def test_behind_another_account_key_nobody_comes_back(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    leaf = room.leaf(ada, bea)
    await services.show_another_key(bea)
    bea.identity = bea.certified()
    code, detail = await refused(comes_in(room, bea, resync=leaf))
    assert code == Code.GROUP_INVALID
    assert detail == "a leaf of an account that shows another key than it came in under"
    # A member may take the leaf out, and who is asked in again comes under the key of now.
    await room.send(ada, room.commit(ada, removes=[bea]))
    await room.send(ada, room.commit(ada, Removed(bea.account)))
    await room.add(ada, bea)
    await room.say(bea)


async def test_put_out_and_asked_in_again_by_one_commit(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    phone = await services.another(bea, "phone")
    await room.add(ada, phone)
    again = (Removed(bea.account), bea.added())
    bea.identity = bea.certified()
    handshake = services.groups.handshake
    staying = room.commit(ada, *again)
    assert (await refused(handshake(ada.grant, staying)))[1] == (
        "a leaf from before its account came in"
    )
    ada.live.clear_pending()
    room.devices.remove(bea)
    request = room.commit(ada, *again, removes=[bea, phone], adds=[bea.key_package()])
    await room.send(ada, request)
    assert [each for each in room.devices if each.account == bea.account] == [bea]
    assert room.roster.state.members[bea.account].since == room.roster.number


# --- By a link ----------------------------------------------------------------------------------


async def with_link(services: Services, *, uses: int = 2) -> tuple[Room, Device, JoinLink]:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    link = JoinLink.create("parlour.example", None, room.stream, bytes(32))
    opened = link.opened(role=Role.MEMBER, uses=uses, expires_at=services.now + DAY)
    await room.send(ada, room.commit(ada, opened))
    return room, ada, link


def pass_of(link: JoinLink, device: Device) -> LinkPass:
    return LinkPass(link.link_id, link.sign_pass(device.account, device.id))


def joining(room: Room, link: JoinLink, device: Device) -> RosterEntry:
    key = device.account_key.public_key.to_bytes()
    change = link.sign_join(room.genesis.roster_id, device.account, device.id, key)
    if device not in room.known:
        room.known.append(device)
    return room.entry(device, change)


async def test_somebody_comes_by_a_link(services: Services) -> None:
    room, ada, link = await with_link(services)
    cid = await services.device("cid")
    heard = services.listen(cid)
    await comes_in(room, cid, joining(room, link, cid), link=pass_of(link, cid))
    assert cid.account in room.roster.state.members
    assert len(heard.frames) == 2
    assert [entry.seq for entry in await room.entries(cid)] == [3]
    await room.say(cid)
    # The roster is ahead of the epoch until a member commits.
    stale = room.commit(ada, bind=ada.live.extensions.find(EXTENSION_TYPE))
    _, detail = await refused(services.groups.handshake(ada.grant, stale))
    assert "not bound to the newest roster entry" in detail
    ada.live.clear_pending()
    await room.send(ada, room.commit(ada))
    assert ada.live.extensions.find(EXTENSION_TYPE) == room.roster.binding.encode()


async def test_a_joiner_that_lost_sees_where_the_group_is_and_nothing_else(
    services: Services,
) -> None:
    room, ada, link = await with_link(services)
    cid = await services.device("cid")
    state = await services.groups.read(cid.grant, ReadGroup(room.stream, link=pass_of(link, cid)))
    request, _ = room.external(cid, state, [joining(room, link, cid)])
    await room.send(ada, room.commit(ada))
    handled = await services.groups.handshake(cid.grant, request)
    assert (handled.seq, handled.epoch, handled.winners) == (0, 3, [])


async def test_a_link_shows_the_group_as_it_is_now_alone(services: Services) -> None:
    room, _ada, link = await with_link(services)
    cid = await services.device("cid")
    asked = ReadGroup(room.stream, 0, 1, pass_of(link, cid))
    assert (await services.groups.read(cid.grant, asked)).epoch == 2
    reading = services.streams.read(cid.grant, Read(room.stream, 0, 10))
    assert (await refused(reading))[0] == Code.STREAM_UNKNOWN


async def test_passes_that_are_none(services: Services) -> None:
    room, _ada, link = await with_link(services)
    cid, dan = await services.devices("cid", "dan")
    wrong = JoinLink.create("parlour.example", None, room.stream, bytes(32))
    good = pass_of(link, cid)
    for who, stream, given in (
        (dan, room.stream, good),
        (cid, unique(), good),
        (cid, room.stream, pass_of(wrong, cid)),
        (cid, room.stream, LinkPass(link.link_id, bytes(64))),
        (cid, room.stream, LinkPass(wrong.link_id, good.signature)),
    ):
        reading = services.groups.read(who.grant, ReadGroup(stream, link=given))
        assert (await refused(reading))[0] == Code.GROUP_LINK
    reading = services.groups.read(cid.grant, ReadGroup(room.stream))
    assert (await refused(reading))[0] == Code.STREAM_UNKNOWN
    services.now += DAY
    reading = services.groups.read(cid.grant, ReadGroup(room.stream, link=good))
    assert (await refused(reading))[0] == Code.GROUP_LINK


async def test_commits_by_links_that_are_none(services: Services) -> None:
    room, ada, link = await with_link(services)
    cid, dan = await services.devices("cid", "dan")
    entry = joining(room, link, cid)
    dans = joining(room, link, dan)
    state = await services.groups.read(cid.grant, ReadGroup(room.stream, link=pass_of(link, cid)))
    change = entry.changes[0]
    assert isinstance(change, JoinedByLink)
    unsigned = replace(change, signature=bytes(64))
    for entries in (
        [],
        [dans],
        [entry, entry],
        [replace(entry, changes=(unsigned,)).sign(cid.key)],
        [replace(entry, changes=()).sign(cid.key)],
        [replace(entry, changes=(cid.added(Role.OWNER),)).sign(cid.key)],
    ):
        request, _ = room.external(cid, state, entries)
        handshake = services.groups.handshake(cid.grant, request)
        assert (await refused(handshake))[0] == Code.STREAM_UNKNOWN
    # Entries that the commit does not name: nobody may exchange them on the way.
    for names in ([], [dans]):
        request, _ = room.external(cid, state, [entry], names=names)
        handshake = services.groups.handshake(cid.grant, request)
        assert "the newcomer's commit names" in (await refused(handshake))[1]
    # A member who uses a link for somebody else, or brings a second entry along.
    request, _ = room.external(cid, state, [entry])
    body = commit_body(request)
    assert body.roster
    handshake = services.groups.handshake(ada.grant, request)
    assert (await refused(handshake))[1] == "a commit of another device"
    entries = [entry]
    by_member = room.commit(ada, entries=entries)
    handshake = services.groups.handshake(ada.grant, by_member)
    assert (await refused(handshake))[1] == (
        "who comes in by a link does it by a commit from outside"
    )


async def test_who_was_put_out_does_not_come_back_by_a_link(services: Services) -> None:
    room, ada, link = await with_link(services)
    cid = await services.device("cid")
    await comes_in(room, cid, joining(room, link, cid), link=pass_of(link, cid))
    await room.send(ada, room.commit(ada, Removed(cid.account), removes=[cid]))
    reading = services.groups.read(cid.grant, ReadGroup(room.stream, link=pass_of(link, cid)))
    assert (await refused(reading))[0] == Code.GROUP_LINK


async def test_a_link_is_used_up(services: Services) -> None:
    room, _ada, link = await with_link(services, uses=1)
    cid, dan = await services.devices("cid", "dan")
    await comes_in(room, cid, joining(room, link, cid), link=pass_of(link, cid))
    reading = services.groups.read(dan.grant, ReadGroup(room.stream, link=pass_of(link, dan)))
    assert (await refused(reading))[0] == Code.GROUP_LINK


# --- Beginning again ----------------------------------------------------------------------------


async def test_a_group_begins_again(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid)
    late = room.commit(bea)
    request, group = room.restart(ada, Removed(cid.account))
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.seq, handled.generation, handled.epoch) == (2, 1, 0)
    again = await services.groups.restart(ada.grant, request)
    assert (again.seq, again.repeated, again.generation) == (2, True, 1)
    # Bea is still a member, reads what has happened, and waits to be added.
    assert [entry.seq for entry in await room.entries(bea)] == [1, 2]
    message = room.message(bea)
    saying = services.streams.append(bea.grant, message)
    assert (await refused(saying))[0] == Code.GROUP_NOT_MEMBER
    lost = await services.groups.handshake(bea.grant, late)
    assert (lost.seq, lost.generation, [each.seq for each in lost.winners]) == (0, 1, [2])
    services.forget()
    room.roster = room.roster.extend(room.entry(ada, Removed(cid.account)), room.find_key)
    room.generation, room.devices, ada.group = 1, [ada], group
    await room.add(ada, bea)
    await room.say(bea)
    assert [entry.seq for entry in await room.entries(cid)] == [1, 2]
    state = await services.groups.read(bea.grant, ReadGroup(room.stream))
    assert (state.generation, state.epoch, state.seq) == (1, 1, 3)
    request, group = room.restart(ada)
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.generation, handled.epoch) == (2, 0)


async def test_a_new_beginning_tells_a_restored_server_what_it_lost(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.found(services, ada)
    room.known.append(bea)
    request, group = room.restart(ada, bea.added())
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.seq, handled.generation) == (1, 1)
    assert [entry.seq for entry in await room.entries(bea)] == [1]
    assert group.epoch == 0


async def test_ones_own_devices_begin_again_without_having_been_in(services: Services) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada, kind=Kind.SELF)
    tablet = await services.another(ada, "tablet")
    room.known.append(tablet)
    # Of what it has read, it knows the epoch.
    tablet.group = ada.group
    request, group = room.restart(tablet)
    handled = await services.groups.restart(tablet.grant, request)
    assert (handled.seq, handled.generation, handled.epoch) == (1, 1, 0)
    room.generation, room.devices, tablet.group = 1, [tablet], group
    await room.add(tablet, ada)
    await room.say(ada)
    assert [entry.seq for entry in await room.entries(tablet)] == [1, 2, 3]


async def test_of_two_beginnings_one_wins(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.found(services, ada)
    await room.add(ada, bea, role=Role.ADMIN)
    first, second = room.restart(ada)[0], room.restart(bea)[0]
    await services.groups.restart(ada.grant, first)
    handled = await services.groups.restart(bea.grant, second)
    assert (handled.seq, handled.generation, handled.epoch) == (0, 1, 0)
    assert [entry.client_id for entry in handled.winners] == [first.client_id]


async def test_an_admin_begins_one_group_again_so_often_and_no_oftener(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.found(services, ada)
    await room.add(ada, bea, role=Role.ADMIN)
    for generation in range(1, RESTARTS_PER_GROUP.amount + 1):
        request, group = room.restart(ada)
        handled = await services.groups.restart(ada.grant, request)
        assert handled.generation == generation
        if generation == 1:
            # What comes again, comes second or is refused does not count.
            assert (await services.groups.restart(ada.grant, request)).repeated
            assert not (await services.groups.restart(ada.grant, room.restart(ada)[0])).seq
            wrong, _ = room.restart(ada, group_info=b"?")
            assert not (await services.groups.restart(ada.grant, wrong)).seq
        room.generation, room.devices, ada.group = generation, [ada], group
    request, _ = room.restart(ada)
    with pytest.raises(LimitError) as refused_for_now:
        await services.groups.restart(ada.grant, request)
    assert refused_for_now.value.code is Code.LIMIT_RATE
    # It is hers, and of this group.
    assert (await services.groups.restart(bea.grant, room.restart(bea, epoch=0)[0])).seq
    other = await Room.found(services, ada)
    assert (await services.groups.restart(ada.grant, other.restart(ada)[0])).generation == 1


async def test_who_broke_a_group_cannot_outrun_its_new_beginning(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    request, _ = room.restart(ada, Removed(bea.account))
    for _ in range(3):
        await room.send(bea, room.commit(bea))
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.seq, handled.generation, handled.epoch) == (5, 1, 0)
    # Bea is out.
    handshake = services.groups.handshake(bea.grant, room.commit(bea))
    assert (await refused(handshake))[0] == Code.STREAM_UNKNOWN


async def test_a_beginning_by_who_knows_what_this_server_has_lost(services: Services) -> None:
    """Its data is from a backup, from before an epoch, or before other beginnings."""
    ada = await services.device("ada")
    room = await Room.found(services, ada)
    request, _ = room.restart(ada, epoch=1)
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.seq, handled.generation, handled.epoch) == (1, 1, 0)
    room.generation = 5
    request, _ = room.restart(ada)
    handled = await services.groups.restart(ada.grant, request)
    assert (handled.seq, handled.generation, handled.epoch) == (2, 6, 0)
    state = await services.groups.read(ada.grant, ReadGroup(room.stream))
    assert (state.generation, state.epoch, state.seq) == (6, 0, 2)
    again = await services.groups.restart(ada.grant, request)
    assert (again.seq, again.repeated, again.generation) == (2, True, 6)


async def test_nobody_burns_the_generations_that_there_are(services: Services) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada)
    room.generation = MAX_LEAP
    request, _ = room.restart(ada)
    code, detail = await refused(services.groups.restart(ada.grant, request))
    assert (code, detail) == (Code.GROUP_INVALID, "a generation that is too far ahead")
    room.generation = MAX_LEAP - 1
    request, _ = room.restart(ada)
    assert (await services.groups.restart(ada.grant, request)).generation == MAX_LEAP


async def test_beginnings_that_are_refused(services: Services) -> None:
    ada, bea, eve = await services.devices("ada", "bea", "eve")
    room = await Room.of(services, ada, bea)
    restart = services.groups.restart
    request, group = room.restart(ada)
    assert (await refused(restart(eve.grant, request)))[0] == Code.STREAM_UNKNOWN
    zero = msgspec.structs.replace(request, generation=0)
    assert (await refused(restart(ada.grant, zero)))[0] == Code.GROUP_INVALID
    other = encode_body(RestartBody(7, [], "", bytes(32), bytes(64)))
    wrong = msgspec.structs.replace(request, envelope=Envelope(1, SuiteId.MLS_RESTART, b"", other))
    assert (await refused(restart(ada.grant, wrong)))[1] == "a restart of another generation"
    commit = msgspec.structs.replace(request, envelope=Envelope(1, SuiteId.MLS_COMMIT, b"", other))
    assert (await refused(restart(ada.grant, commit)))[1] == "an envelope that is no MLS_RESTART"
    # The GroupInfo of somebody else's beginning, and one that forgets the roster's entry.
    theirs = room.restart(bea)[1]
    swapped = msgspec.structs.replace(
        request, group_info=theirs.group_info(ratchet_tree=False), tree=theirs.tree()
    )
    assert (await refused(restart(ada.grant, swapped)))[0] == Code.GROUP_INVALID
    unbound = room.restart(ada, Removed(bea.account))[0]
    stale = msgspec.structs.replace(
        unbound, group_info=group.group_info(ratchet_tree=False), tree=group.tree()
    )
    assert "not bound" in (await refused(restart(ada.grant, stale)))[1]
    handled = await restart(ada.grant, request)
    assert handled.seq == 2
