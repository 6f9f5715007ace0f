"""The main job, end to end: register, talk, verify, stop, go on."""

import asyncio
import random
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from parlour.client.client import Client, Connected, Disconnected
from parlour.client.home import Home
from parlour.client.store import LocalStore
from parlour.conversation.changes import DeleteRecord, Message, MessageState
from parlour.conversation.contact import Verification
from parlour.conversation.events import MessageReceived, MessageSent, RequestReceived
from parlour.errors import Code, ParlourError
from tests.town import PASSWORD, PATIENCE, Town, history, next_texts


async def end_of_events(client: Client) -> Code | None:
    """Why there are no more events."""
    try:
        async with asyncio.timeout(PATIENCE):
            async for _ in client.events():
                pass
    except ParlourError as end:
        return end.code
    return None


async def test_two_people_register_and_talk(tmp_path: Path, town: Town) -> None:
    async with town.serving():
        for name in ("dora", "emil"):
            await Client.register(tmp_path / name, await town.invite(), name, PASSWORD)
        async with (
            Client.open(tmp_path / "dora", PASSWORD) as dora,
            Client.open(tmp_path / "emil", PASSWORD) as emil,
        ):
            await dora.send("emil", "hello")
            async with asyncio.timeout(PATIENCE), aclosing(emil.events()) as events:
                async for event in events:
                    assert not isinstance(event, MessageReceived)
                    if isinstance(event, RequestReceived):
                        break
            assert [contact.name for contact in emil.people.requests()] == ["dora"]
            assert await history(emil, "dora") == []
            await emil.people.accept("dora")
            assert await next_texts(emil, 1) == ["hello"]
            await emil.send("dora@home.test", "and you")
            assert await next_texts(dora, 1) == ["and you"]
            await emil.sent()
            assert await history(dora, "emil") == await history(emil, "dora")
            number = await dora.safety_number("emil")
            assert number.groups == (await emil.safety_number("dora")).groups
            await dora.verify("emil", number)
            assert (await dora.contact("emil")).verification is Verification.VERIFIED
            assert dora.name == "dora@home.test"
            assert [contact.name for contact in dora.contacts()] == ["emil"]


async def test_what_is_said_offline_goes_out_later_and_is_there_after_a_restart(
    town: Town,
) -> None:
    async with town.serving(), town.open("alice") as alice:
        await alice.send("bob", "one")
        await alice.sent()
    async with town.open("alice", connect=False) as alice:
        await alice.send("bob", "two")
        assert (await alice.history("bob"))[-1].state is MessageState.QUEUED
        assert alice.waiting == 1
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.sent()
        assert await next_texts(bob, 2) == ["one", "two"]
        assert (await alice.history("bob"))[-1].state is MessageState.SENT
    async with town.open("bob", connect=False) as bob:
        assert await history(bob, "alice") == ["one", "two"]
        assert await bob.unread() == []


async def test_a_program_that_looks_once_sees_what_had_waited(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        for number in range(300):
            await alice.send("bob", str(number))
        await alice.sent()
        async with town.open("bob") as bob:
            await bob.caught_up()
            assert [said.text for said in await bob.unread()] == [str(n) for n in range(300)]


async def test_sent_says_what_keeps_a_message_here(town: Town) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        database = server.core.store.database  # type: ignore[attr-defined]
        await database.write(lambda connection: connection.execute("DELETE FROM prekeys"))
        await alice.send("bob", "hello")
        async with asyncio.timeout(5):
            with pytest.raises(ParlourError) as caught:
                await alice.sent()
        assert caught.value.code is Code.PREKEY_NONE
        # When Bob is back he publishes new ones, and it goes out.
        async with town.open("bob") as bob:
            assert await next_texts(bob, 1) == ["hello"]
        await alice.sent()


async def test_what_was_sent_is_on_disk_when_the_wait_for_it_ends(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine knows before its disk does, which here takes its time with what was answered."""
    original = LocalStore._apply
    gate = threading.Event()

    def slow(store: LocalStore, changes: Any) -> list[Message]:
        if any(isinstance(change, DeleteRecord) for change in changes):
            gate.wait(PATIENCE)
        return original(store, changes)

    async with town.serving(), town.open("alice") as alice:
        await alice.send("bob", "first")
        await alice.sent()
        monkeypatch.setattr(LocalStore, "_apply", slow)
        await asyncio.gather(*(alice.send("bob", str(number)) for number in range(10)))
        async with asyncio.timeout(PATIENCE):
            while alice.waiting:  # noqa: ASYNC110  # nothing is told before the disk has it
                await asyncio.sleep(0)
        sent = asyncio.create_task(alice.sent())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(gate.set)
        await sent
        said = await alice.history("bob")
        assert {message.state for message in said} == {MessageState.SENT}


async def test_cancelled_sends_are_said_once_or_never(town: Town) -> None:
    choice = random.Random(7)
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.contact("bob")
        sends = []
        for number in range(60):
            sends.append(asyncio.create_task(alice.send("bob", str(number))))
            for _ in range(choice.randrange(4)):
                await asyncio.sleep(0)
            if choice.random() < 0.5:
                sends[-1].cancel()
        results = await asyncio.gather(*sends, return_exceptions=True)
        returned = [str(n) for n, result in enumerate(results) if isinstance(result, bytes)]
        await alice.sent()
        said = await history(alice, "bob")
        assert len(said) == len(set(said))
        assert set(returned) <= set(said)
        assert 0 < len(returned) < 60
        assert await next_texts(bob, len(said)) == said
        assert await history(bob, "alice") == said


async def test_a_name_that_is_not_there_is_refused_at_once(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        for name, code in (
            ("nobody", Code.ACCOUNT_UNKNOWN),
            ("bob@elsewhere.test", Code.ACCOUNT_NOT_HERE),
        ):
            async with asyncio.timeout(5):
                with pytest.raises(ParlourError) as caught:
                    await alice.send(name, "hello?")
            assert caught.value.code is code


async def test_every_loop_over_events_gets_every_event(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await bob.connected()

        async def read(count: int) -> list[str]:
            found = []
            async with aclosing(bob.events()) as events:
                async for event in events:
                    if isinstance(event, MessageReceived):
                        found.append(bob.said(event.message).text)
                    if len(found) == count:
                        return found
            return found

        async with asyncio.timeout(PATIENCE):
            readers = [asyncio.create_task(read(20)) for _ in range(3)]
            await asyncio.sleep(0)  # they begin
            for number in range(20):
                await alice.send("bob", str(number))
            for reader in readers:
                assert await reader == [str(number) for number in range(20)]


async def test_an_event_that_was_not_handled_is_given_again(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        for number in range(3):
            await alice.send("bob", str(number))
        await alice.sent()
    async with town.serving(), town.open("bob") as bob:
        seen = []
        async with aclosing(bob.events()) as events:
            async for event in events:
                if isinstance(event, MessageReceived):
                    seen.append(bob.said(event.message).text)
                if len(seen) == 2:
                    break  # the program dies while it handles "1"
    async with town.open("bob", connect=False) as bob:
        assert [said.text for said in await bob.unread()] == ["1", "2"]
        assert await bob.unread() == []


async def test_events_tell_of_the_connection(town: Town) -> None:
    async with town.open("alice") as alice, aclosing(alice.events()) as events:
        async with asyncio.timeout(PATIENCE):
            assert await anext(events) == Disconnected(Code.NETWORK_UNREACHABLE, final=False)
            async with town.serving():
                assert await anext(events) == Connected()
                assert alice.online
            down = await anext(events)
            assert isinstance(down, Disconnected)
            assert down.reason is Code.SERVER_DRAINING
            assert not alice.online


async def test_sent_events_name_what_was_sent(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        message_id = await alice.send("bob", "hi")
        async with asyncio.timeout(PATIENCE), aclosing(alice.events()) as events:
            async for event in events:
                if isinstance(event, MessageSent):
                    assert event.message.message_id == message_id
                    break


async def test_a_taken_name_leaves_no_home_behind(town: Town, tmp_path: Path) -> None:
    async with town.serving():
        with pytest.raises(ParlourError) as caught:
            await Client.register(tmp_path / "home", await town.invite(), "alice", PASSWORD)
        assert caught.value.code is Code.ACCOUNT_EXISTS
        with pytest.raises(ParlourError) as caught:
            await Home.open(tmp_path / "home", PASSWORD)
        assert caught.value.code is Code.HOME_MISSING


async def test_a_second_registration_does_not_touch_a_home(town: Town) -> None:
    async with town.serving():
        with pytest.raises(ParlourError) as caught:
            await Client.register(town.home("alice"), await town.invite(), "other", PASSWORD)
        assert caught.value.code is Code.HOME_EXISTS
        async with town.open("alice") as alice:
            await alice.connected()
            assert alice.name == "alice@home.test"


async def test_a_login_that_is_ended_stops_the_client_and_comes_back(town: Town) -> None:
    async with town.serving(), town.open("bob") as bob:
        async with town.open("alice") as alice:
            await alice.send("bob", "before")
            await alice.sent()
            [session] = await alice.sessions()
            await alice.revoke(session.handle)
            with pytest.raises(ParlourError) as caught:
                await alice.connected()
            assert caught.value.code is Code.TOKEN_REVOKED
            assert alice.failure is not None
            await alice.send("bob", "meanwhile")
            with pytest.raises(ParlourError) as caught:
                await alice.sent()
            assert caught.value.code is Code.TOKEN_REVOKED
            assert await end_of_events(alice) is Code.TOKEN_REVOKED
        async with town.open("alice") as alice:
            with pytest.raises(ParlourError) as caught:
                await alice.connected()
            assert caught.value.code is Code.TOKEN_MISSING
        await Client.log_in(town.home("alice"), PASSWORD)
        async with town.open("alice") as alice:
            await alice.sent()
        assert await next_texts(bob, 2) == ["before", "meanwhile"]


async def test_a_login_that_another_ends_stops_the_client(town: Town) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        [session] = await alice.sessions()
        grant = next(iter(server.core.sessions._alive.values()))
        await server.core.sessions.revoke(grant, session.handle)
        assert await end_of_events(alice) is Code.TOKEN_REVOKED
        assert alice.failure is not None


async def test_a_token_that_the_server_never_made_is_refused(town: Town) -> None:
    async with town.serving(), town.open("alice", connect=False) as alice:
        alice._link.account = replace(alice._link.account, token="plt_" + "A" * 43)
        running = asyncio.create_task(alice._link.run())
        with pytest.raises(ParlourError) as caught:
            await alice.connected()
        assert caught.value.code is Code.TOKEN_INVALID
        await running


async def test_the_token_of_another_device_changes_nothing_here(town: Town) -> None:
    """Who mixes up two homes gets nothing of the other's."""
    async with town.serving(), town.open("carol") as carol, town.open("bob") as bob:
        await carol.send("bob", "for bob")
        assert await next_texts(bob, 1) == ["for bob"]
        foreign = bob._link.account.token
        await bob.log_out()
        async with town.open("alice", connect=False) as alice:
            alice._link.account = replace(alice._link.account, token=foreign)
            await alice._link.run()
            assert alice.failure is not None
            assert alice.failure.code is Code.TOKEN_REVOKED
            assert await alice.unread() == []


async def test_waiting_for_a_server_that_is_away_says_so(town: Town) -> None:
    async with town.open("alice") as alice:
        with pytest.raises(ParlourError) as caught:
            await alice.connected(timeout=0.5)
        assert caught.value.code is Code.NETWORK_UNREACHABLE
