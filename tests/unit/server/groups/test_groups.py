"""A group from its founding on: what honest devices do, and what the server keeps of it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from parlour.errors import Code, ParlourError
from parlour.roster import Kind, Removed, Role, leave_statement
from parlour.roster.genesis import Retention as Keeping
from parlour.server.groups import newcomers
from parlour.server.store.group_records import KEEP_FORMER_MS, KEEP_WISH_MS
from parlour.wire.frames import decode_body, decode_frame
from parlour.wire.groups import Handshake, ProposalBody, ReadGroup
from parlour.wire.kinds import PUSHES
from parlour.wire.kinds import Kind as Operation
from parlour.wire.push import PushEntry
from parlour.wire.streams import Acknowledge, CatchUp, ListStreams, Position, Read
from tests.served_groups import Device, Heard, Room, Services, reference_of
from tests.unit.server.store.builders import entry as append_to

DAY = 86_400_000


async def code_of(awaitable: object) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable  # type: ignore[misc]
    return raised.value.code


def pushed(heard: Heard) -> list[tuple[str, int | bytes]]:
    """What was pushed: the kind, and a number: an entry's or a stream's last one."""
    found: list[tuple[str, int | bytes]] = []
    for data in heard.frames:
        frame = decode_frame(data)
        body = decode_body(frame.body, PUSHES[Operation(frame.kind)])
        if frame.kind == Operation.PUSH_ENTRY:
            assert isinstance(body, PushEntry)
            found += [("list of", page.account_id) for page in body.lists]
            found.append(("entry", body.entry.seq))
        else:
            found.append(("stream", body.stream.last))  # type: ignore[attr-defined]
    return found


async def numbers(room: Room, device: Device) -> list[int]:
    return [entry.seq for entry in await room.entries(device)]


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
    handled = await room.send(ada, room.commit(ada, Removed(cid.account), removes=[cid]))
    assert (handled.seq, handled.epoch) == (3, 2)
    assert [each.name for each in room.devices] == ["ada", "bea"]
    state = await services.groups.read(bea.grant, ReadGroup(room.stream))
    assert (state.tree, state.seq) == (bea.live.tree(), 3)
    assert state.roster_state == room.roster.state.encode()
    assert state.roster_head == room.roster.head.encode()


async def test_who_is_added_reads_from_its_commit_on(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea)
    await room.say(ada)
    await room.add(ada, cid)
    await room.say(bea)
    assert await numbers(room, bea) == [1, 2, 3, 4]
    assert await numbers(room, cid) == [3, 4]
    page = await services.streams.read(cid.grant, Read(room.stream, 4, 10, backwards=True))
    assert [entry.seq for entry in page.entries] == [3]
    caught_up = await services.streams.catch_up(cid.grant, CatchUp([]))
    assert [entry.seq for entry in caught_up.entries] == [3, 4]


async def test_who_is_removed_reads_up_to_its_removal(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid)
    at_cid = services.listen(cid)
    await room.say(ada)
    await room.send(ada, room.commit(ada, Removed(cid.account), removes=[cid]))
    await room.say(bea)
    assert pushed(at_cid) == [("entry", 2), ("entry", 3)]
    assert await numbers(room, cid) == [1, 2, 3]
    caught_up = await services.streams.catch_up(cid.grant, CatchUp([Position(room.stream, 1)]))
    assert [entry.seq for entry in caught_up.entries] == [2, 3]
    # It was welcomed, and has not said that it has read anything.
    caught_up = await services.streams.catch_up(cid.grant, CatchUp([]))
    assert [entry.seq for entry in caught_up.entries if entry.stream == room.stream] == [1, 2, 3]
    state = await services.groups.read(cid.grant, ReadGroup(room.stream, 0, 1))
    assert (state.epoch, state.seq) == (1, 1)
    # After that nobody tells it of the stream of its own accord; it may do nothing else there.
    await services.streams.acknowledge(cid.grant, Acknowledge([Position(room.stream, 3)]))
    caught_up = await services.streams.catch_up(cid.grant, CatchUp([]))
    assert room.stream not in {entry.stream for entry in caught_up.entries}
    infos = await services.streams.of_device(cid.grant, ListStreams())
    assert room.stream not in {info.stream for info in infos.streams}
    reading = services.groups.read(cid.grant, ReadGroup(room.stream))
    assert await code_of(reading) == Code.STREAM_UNKNOWN
    cid.group = bea.live
    saying = services.streams.append(cid.grant, room.message(cid))
    assert await code_of(saying) == Code.STREAM_UNKNOWN
    await services.store.streams.sweep(now=services.now + KEEP_FORMER_MS)
    assert await code_of(room.entries(cid)) == Code.STREAM_UNKNOWN


async def test_who_was_in_it_together_may_ask_each_other_afterwards(services: Services) -> None:
    """For what they could not read: also where both have gone, and nobody else knows them."""
    ada, bea, cid, dan = await services.devices("ada", "bea", "cid", "dan")
    room = await Room.of(services, ada, bea, cid)

    async def ask(device: Device, other: Device) -> None:
        request = append_to(other.id, b"", other.id)
        await services.streams.append(device.grant, request)

    await room.send(ada, room.commit(ada, Removed(cid.account), removes=[cid]))
    await room.add(ada, dan)
    await ask(cid, bea)
    await ask(bea, cid)
    await ask(dan, bea)
    await room.send(ada, room.commit(ada, Removed(bea.account), removes=[bea]))
    await ask(cid, bea)
    await ask(bea, cid)
    # These two never met there.
    assert await code_of(ask(cid, dan)) == Code.STREAM_FORBIDDEN
    assert await code_of(ask(dan, cid)) == Code.STREAM_FORBIDDEN
    await services.store.streams.sweep(now=services.now + KEEP_FORMER_MS)
    assert await code_of(ask(cid, bea)) == Code.STREAM_FORBIDDEN


async def test_who_comes_again_reads_also_what_was_before(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    await room.send(ada, room.commit(ada, Removed(bea.account), removes=[bea]))
    await room.say(ada)
    await room.add(ada, bea)
    assert await numbers(room, bea) == [1, 2, 4]
    await room.say(bea)
    assert await numbers(room, bea) == [1, 2, 4, 5]


async def test_who_comes_and_goes_reads_what_was_said_in_each_time(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    await room.send(ada, room.commit(ada, Removed(bea.account), removes=[bea]))
    await room.say(ada)
    await room.add(ada, bea)
    await room.say(ada)
    await room.send(ada, room.commit(ada, Removed(bea.account), removes=[bea]))
    await room.say(ada)
    assert await numbers(room, bea) == [1, 2, 4, 5, 6]
    await room.add(ada, bea)
    assert await numbers(room, bea) == [1, 2, 4, 5, 6, 8]


async def test_pushes_go_to_those_who_are_in_it(services: Services) -> None:
    ada, bea, cid, eve = await services.devices("ada", "bea", "cid", "eve")
    heard = {each: services.listen(each) for each in (ada, bea, cid, eve)}
    room = await Room.of(services, ada, bea)
    await room.say(bea)
    await room.add(ada, cid)
    await room.say(cid)
    entries = [("entry", n) for n in (1, 2, 3, 4)]
    of_bea, of_cid = (("list of", each.account) for each in (bea, cid))
    assert pushed(heard[ada]) == [("stream", 0), of_bea, *entries[:2], of_cid, *entries[2:]]
    assert pushed(heard[bea]) == [("stream", 1), *entries[:2], of_cid, *entries[2:]]
    assert pushed(heard[cid]) == [("stream", 3), ("entry", 3), ("entry", 4)]
    assert pushed(heard[eve]) == []


async def test_lists_of_many_newcomers_are_not_pushed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomers, "MAX_PUSHED_LISTS", 1)
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    heard = services.listen(ada)
    await Room.of(services, ada, bea, cid)
    assert pushed(heard) == [("stream", 0), ("entry", 1)]


async def test_a_long_list_is_not_pushed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomers, "MAX_DEVICE_LIST_PAGE", 0)
    ada, bea = await services.devices("ada", "bea")
    heard = services.listen(ada)
    await Room.of(services, ada, bea)
    assert pushed(heard) == [("stream", 0), ("entry", 1)]


async def test_each_newcomer_gets_its_own_part(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid)
    parts = [(await room.entries(each))[0].part for each in (bea, cid)]
    assert None not in parts
    assert parts[0] != parts[1]
    assert room.devices == [ada, bea, cid]


async def test_joiners_get_the_tree_of_their_epoch_when_the_group_has_gone_on(
    services: Services,
) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea)
    tree = bea.live.tree()
    await room.send(ada, room.commit(ada))
    await room.add(ada, cid)
    old = await services.groups.read(bea.grant, ReadGroup(room.stream, 0, 1))
    assert (old.tree, old.seq, old.epoch, old.group_info) == (tree, 1, 1, b"")
    assert old.roster_head != room.roster.head.encode()
    # Nobody was added in epoch 2.
    reading = services.groups.read(bea.grant, ReadGroup(room.stream, 0, 2))
    assert await code_of(reading) == Code.GROUP_EPOCH_GONE


async def test_trees_go_when_their_joiners_have_read_on(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid, retention=Keeping.FOREVER)
    await room.send(ada, room.commit(ada))
    asked = ReadGroup(room.stream, 0, 1)
    await services.streams.acknowledge(bea.grant, Acknowledge([Position(room.stream, 1)]))
    await services.store.streams.sweep(now=services.now)
    assert (await services.groups.read(cid.grant, asked)).tree
    await services.streams.acknowledge(cid.grant, Acknowledge([Position(room.stream, 2)]))
    await services.store.streams.sweep(now=services.now)
    assert await code_of(services.groups.read(cid.grant, asked)) == Code.GROUP_EPOCH_GONE


async def test_the_newest_trees_are_kept(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.server.store.sqlite.handshakes.MAX_JOINABLE_EPOCHS", 2)
    people = await services.devices("ada", "bea", "cid", "dan", "eli")
    room = await Room.found(services, people[0])
    for device in people[1:]:
        await room.add(people[0], device)
    ada = people[0]
    for epoch, kept in ((1, False), (2, False), (3, True), (4, True)):
        reading = services.groups.read(ada.grant, ReadGroup(room.stream, 0, epoch))
        if kept:
            assert (await reading).epoch == epoch
        else:
            assert await code_of(reading) == Code.GROUP_EPOCH_GONE


# --- Races, repeats and crashes -----------------------------------------------------------------


async def test_of_two_commits_one_wins_and_the_loser_is_shown_it(services: Services) -> None:
    ada, bea, _cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea)
    bea.identity = bea.certified()
    commits = [room.commit(ada), room.commit(bea)]
    answers = await asyncio.gather(
        services.groups.handshake(ada.grant, commits[0]),
        services.groups.handshake(bea.grant, commits[1]),
    )
    won = [each for each in answers if each.seq]
    (lost,) = [each for each in answers if not each.seq]
    assert [each.seq for each in won] == [2]
    assert (lost.generation, lost.epoch, lost.stored_at, lost.repeated) == (0, 2, 0, False)
    assert [entry.seq for entry in lost.winners] == [2]
    assert lost.winners[0].client_id == won[0].client_id
    winner, loser = (ada, bea) if won[0] is answers[0] else (bea, ada)
    await room.follow(winner, commits[answers.index(won[0])])
    assert (await room.send(loser, room.commit(loser))).epoch == 3


async def test_a_loser_gets_all_winners_with_its_own_part(services: Services) -> None:
    ada, bea, _cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea)
    late = room.commit(bea)
    # Bea is added again and again while her commit is on its way.
    room.devices.remove(bea)
    for _ in range(2):
        again = room.commit(ada, removes=[bea], adds=[bea.key_package()])
        await services.groups.handshake(ada.grant, again)
        ada.live.merge(ada.live.pending, services.now // 1000)  # type: ignore[arg-type]
    await services.groups.handshake(ada.grant, room.commit(ada))
    handled = await services.groups.handshake(bea.grant, late)
    assert (handled.seq, handled.epoch) == (0, 4)
    assert [entry.seq for entry in handled.winners] == [2, 3, 4]
    assert [entry.part is not None for entry in handled.winners] == [True, True, False]


async def test_a_commit_for_an_epoch_that_is_to_come_loses(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    ahead = msgspec.structs.replace(room.commit(ada), epoch=7)
    handled = await services.groups.handshake(ada.grant, ahead)
    assert (handled.seq, handled.epoch, handled.winners) == (0, 1, [])


async def test_a_repeat_gets_its_first_place_also_after_a_crash(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    commit, proposal = room.commit(ada), room.leave(bea)
    await room.send(bea, proposal)
    first = await room.send(ada, commit)
    at_bea = services.listen(bea)
    for _ in range(2):
        again = await services.groups.handshake(ada.grant, commit)
        assert again.repeated
        assert (again.seq, again.stored_at) == (first.seq, first.stored_at)
        assert (await services.groups.handshake(bea.grant, proposal)).seq == 2
        services.forget()
    assert pushed(at_bea) == []
    assert await numbers(room, ada) == [1, 2, 3]


async def test_the_database_knows_all_after_a_crash(services: Services) -> None:
    ada, bea, cid, dan = await services.devices("ada", "bea", "cid", "dan")
    room = await Room.of(services, ada, bea, cid)
    services.forget()
    await room.send(bea, room.commit(bea))
    services.forget()
    message = cid.live.propose_update(services.now // 1000)
    await room.send(cid, room.proposal(cid, ProposalBody(0, message, b"")))
    services.forget()
    # The commit covers the proposal, which only the database remembers.
    await room.add(ada, dan)
    services.forget()
    await room.send(ada, room.commit(ada, Removed(bea.account), removes=[bea]))
    assert room.devices == [ada, cid, dan]
    state = await services.groups.read(dan.grant, ReadGroup(room.stream))
    assert state.tree == dan.live.tree() == cid.live.tree()


async def test_what_is_in_memory_is_not_believed(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    stale = services.groups
    services.forget()
    await room.send(ada, room.commit(ada))
    # Another process, which has not heard of the last commit.
    services.groups = stale
    await room.send(bea, room.commit(bea))
    assert await numbers(room, ada) == [1, 2, 3]


async def test_many_commits_at_once_and_one_per_epoch(services: Services) -> None:
    people = await services.devices(*(f"p{n}" for n in range(8)))
    room = await Room.of(services, *people)
    for _ in range(3):
        commits = [room.commit(each) for each in people]
        answers = await asyncio.gather(
            *(
                services.groups.handshake(each.grant, commit)
                for each, commit in zip(people, commits, strict=True)
            )
        )
        (place,) = [index for index, each in enumerate(answers) if each.seq]
        assert {each.epoch for each in answers} == {people[0].live.epoch + 1}
        await room.follow(people[place], commits[place])
    assert len(await room.entries(people[0])) == 4


# --- Leaving, devices, other kinds --------------------------------------------------------------


async def test_who_leaves_is_taken_out_by_another(services: Services) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid)
    request = room.leave(bea)
    handled = await room.send(bea, request)
    assert (handled.seq, handled.epoch) == (2, 1)
    statement = leave_statement(room.genesis.roster_id, bea.account, 1, bea.key)
    await room.send(cid, room.commit(cid, statement, removes=[bea]))
    assert room.devices == [ada, cid]
    assert bea.account not in room.roster.state.members
    assert await numbers(room, bea) == [1, 2, 3]


async def test_a_device_more_and_a_device_less(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    tablet = await services.another(bea, "tablet")
    await room.add(bea, tablet)
    assert await numbers(room, tablet) == [1, 2]
    # Her own devices anybody of hers may take out; the account stays.
    await room.send(bea, room.commit(bea, removes=[tablet]))
    assert room.devices == [ada, bea]
    saying = services.streams.append(
        tablet.grant, msgspec.structs.replace(room.message(bea), client_id=bytes(16))
    )
    assert await code_of(saying) == Code.GROUP_NOT_MEMBER
    assert await numbers(room, tablet) == [1, 2, 3]


async def test_a_device_that_left_its_list_is_taken_out_by_anybody(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    tablet = await services.another(ada, "tablet")
    await room.add(ada, tablet)
    await services.unlist(tablet)
    await room.send(bea, room.commit(bea, removes=[tablet]))
    assert room.devices == [ada, bea]


async def test_what_a_device_proposed_before_it_left_its_list_stops_nobody(
    services: Services,
) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    tablet = await services.another(ada, "tablet")
    await room.add(ada, tablet)
    message = tablet.live.propose_update(services.now // 1000, tablet.certified())
    await room.send(tablet, room.proposal(tablet, ProposalBody(0, message, b"")))
    await services.unlist(tablet)
    # Bea has not heard of it, and covers the proposal.
    await room.send(bea, room.commit(bea))
    await room.send(bea, room.commit(bea, removes=[tablet]))
    assert room.devices == [ada, bea]


async def test_an_idle_device_is_taken_out_by_anybody(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.found(services, ada)
    bea.identity = bea.certified(days=3)
    await room.add(ada, bea)
    cid = await services.device("cid")
    await room.add(ada, cid)
    services.now += 4 * DAY
    await room.send(cid, room.commit(cid, removes=[bea]))
    # The account stays a member, so that it can read what became of it and come back.
    assert bea.account in room.roster.state.members
    assert await numbers(room, bea) == [1, 2, 3]


async def test_a_device_that_cannot_follow_is_added_again(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    room.devices.remove(bea)
    again = room.commit(ada, removes=[bea], adds=[bea.key_package()])
    await room.send(ada, again)
    assert room.devices == [ada, bea]
    assert bea.live.tree() == ada.live.tree()


async def test_a_wish_to_be_added_again_is_fulfilled_once(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    package = bea.key_package()
    wish = room.wish(bea, package=reference_of(package))

    def again() -> Handshake:
        return room.commit(ada, removes=[bea], adds=[package], wishes=[wish])

    room.devices.remove(bea)
    await room.send(ada, again())
    for _ in range(2):
        with pytest.raises(ParlourError) as raised:
            await services.groups.handshake(ada.grant, again())
        assert raised.value.detail == "a wish to be added again: fulfilled before"
        ada.live.clear_pending()
        # As after a restart.
        services.forget()
    # Long after nobody would take it any more, nobody remembers it.
    stored = await services.store.groups.load(room.stream)
    assert stored.wishes == {bea.id: wish.at}
    services.now += KEEP_WISH_MS
    await room.send(ada, room.commit(ada))
    await services.store.streams.sweep(now=services.now + 1)
    assert (await services.store.groups.load(room.stream)).wishes == {}


async def test_a_direct_conversation_is_one_per_pair(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = Room.planned(services, ada, Kind.DIRECT, bea)
    at_bea = services.listen(bea)
    info = await services.groups.create(ada.grant, room.creation(ada))
    assert (info.kind, info.genesis) == ("direct", room.genesis.encode())
    assert pushed(at_bea) == [("stream", 0)]
    other = Room.planned(services, bea, Kind.DIRECT, ada)
    second = await services.groups.create(bea.grant, other.creation(bea))
    assert second.stream == room.stream
    # Her account is on the roster from the beginning; her devices come in by a commit.
    handled = await room.add(ada, bea)
    assert handled.epoch == 1
    appended = await room.say(bea)
    assert (await room.entries(ada))[-1].seq == appended.seq == 2


async def test_the_conversation_of_ones_own_devices(services: Services) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada, kind=Kind.SELF)
    tablet = await services.another(ada, "tablet")
    await room.add(ada, tablet)
    await room.say(tablet)
    assert await numbers(room, ada) == [1, 2]
    again = Room.planned(services, tablet, Kind.SELF)
    info = await services.groups.create(tablet.grant, again.creation(tablet))
    assert info.stream == room.stream


async def test_who_founds_a_group_twice_gets_the_first(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = Room.planned(services, ada, Kind.FAMILY)
    request = room.creation(ada)
    first = await services.groups.create(ada.grant, request)
    assert await services.groups.create(ada.grant, request) == first
    taken = Room.planned(services, bea, Kind.GROUP)
    other = Room(
        services,
        type(taken.genesis).create(
            bea.key,
            kind=Kind.GROUP,
            suite=1,
            stream=room.stream,
            roster_id=taken.genesis.roster_id,
            creator_account=bea.account,
            created_at=services.now,
        ),
        taken.roster,
        [bea],
        [bea],
    )
    entry = taken.roster.founding_entry(other.genesis, [bea.added(Role.OWNER)], bea.key)
    other.roster = taken.roster.found(other.genesis, entry, other.find_key)
    bea.group = other.beginning(bea, other.roster, 0)
    creating = services.groups.create(bea.grant, other.creation(bea))
    assert await code_of(creating) == Code.USAGE_INVALID


@pytest.mark.parametrize(
    ("fields", "kept_for"),
    [
        ({}, 30),
        ({"retention": Keeping.DAYS, "retention_days": 3}, 3),
        ({"retention": Keeping.FOREVER}, 10_000),
    ],
)
async def test_entries_are_kept_as_the_genesis_says(
    services: Services, fields: dict[str, object], kept_for: int
) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea, **fields)
    await room.say(ada)
    services.now += kept_for * DAY - 1
    await services.store.streams.sweep(now=services.now)
    assert await numbers(room, ada) == [1, 2]
    if kept_for < 10_000:
        await services.store.streams.sweep(now=services.now + 1)
        assert await numbers(room, ada) == []


async def test_a_queue_is_trimmed_when_all_have_read_also_who_was_removed(
    services: Services,
) -> None:
    ada, bea, cid = await services.devices("ada", "bea", "cid")
    room = await Room.of(services, ada, bea, cid)
    await room.say(ada)
    await room.send(ada, room.commit(ada, Removed(cid.account), removes=[cid]))
    await room.say(bea)

    async def read(device: Device, seq: int) -> list[int]:
        request = Acknowledge([Position(room.stream, seq)])
        await services.streams.acknowledge(device.grant, request)
        await services.store.streams.sweep(now=services.now)
        return await numbers(room, ada)

    assert await read(ada, 4) == [1, 2, 3, 4]
    assert await read(bea, 4) == [1, 2, 3, 4]
    # Cid has yet to learn that it was removed.
    assert await read(cid, 2) == [3, 4]
    assert await read(cid, 3) == []
