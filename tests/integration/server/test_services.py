"""Conversations, directory and a server on its way out, through the doors."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from parlour.errors import Code, ParlourError
from parlour.identity.device_list import first_entry, next_entry
from parlour.server import Config, Server
from parlour.wire.directory import AppendDeviceList, DeviceListPage, LookUp, ReadDeviceList
from parlour.wire.frames import encode_body
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE
from parlour.wire.prekeys import Bundles, FetchBundles, PrekeyCounts, PublishPrekeys
from parlour.wire.server import Nothing
from parlour.wire.streams import (
    CreateConversation,
    ListStreams,
    LiveStart,
    LiveStarted,
    Position,
    StreamInfo,
    StreamInfos,
)

from .people import NOW, Person, open_socket, prekeys, register, rest, rest_error


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


async def test_a_direct_conversation_has_two_members(server: Server) -> None:
    alice, bea, carl = await register(server, "alice", "bea", "carl")

    def create(kind: Any, *members: bytes) -> Any:
        request = CreateConversation(os.urandom(16), kind, list(members), b"")
        return alice.rest(Kind.CREATE_CONVERSATION, request, StreamInfo)

    everybody = [each.account_id for each in (alice, bea, carl)]
    assert await refusal_of(create("direct", *everybody)) == Code.USAGE_INVALID
    assert await refusal_of(create("direct", alice.account_id)) == Code.USAGE_INVALID
    assert await refusal_of(create("direct", os.urandom(16))) == Code.ACCOUNT_UNKNOWN
    assert await refusal_of(create("inbox", bea.account_id)) == Code.STREAM_FORBIDDEN
    # Nobody makes a conversation of others.
    assert await refusal_of(create("direct", bea.account_id, carl.account_id)) == Code.USAGE_INVALID
    info = await create("direct", bea.account_id)
    assert set(info.members) == {alice.account_id, bea.account_id}
    listed = await bea.rest(Kind.CONVERSATIONS, ListStreams(), StreamInfos)
    assert [each.stream for each in listed.streams] == sorted([bea.inbox, info.stream])


async def test_accounts_are_found_by_their_exact_name(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    page = await alice.rest(Kind.LOOK_UP, LookUp("bea"), DeviceListPage)
    assert (page.account_id, page.name) == (bea.account_id, "bea")
    assert page.entries == [bea.list_entry.encode()]
    for name in ("be", "nobody", "bea2"):
        missing = alice.rest(Kind.LOOK_UP, LookUp(name), DeviceListPage)
        assert await refusal_of(missing) == Code.ACCOUNT_UNKNOWN
    unknown = alice.rest(Kind.READ_DEVICE_LIST, ReadDeviceList(os.urandom(16), 0), DeviceListPage)
    assert await refusal_of(unknown) == Code.ACCOUNT_UNKNOWN


async def test_a_device_list_is_read_page_by_page(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    for _ in range(MAX_DEVICE_LIST_PAGE):
        await alice.change_list(alice.next_list())
    first = await bea.rest(Kind.LOOK_UP, LookUp("alice"), DeviceListPage)
    assert (len(first.entries), first.more) == (MAX_DEVICE_LIST_PAGE, True)
    request = ReadDeviceList(alice.account_id, MAX_DEVICE_LIST_PAGE)
    rest_of_it = await bea.rest(Kind.READ_DEVICE_LIST, request, DeviceListPage)
    assert (len(rest_of_it.entries), rest_of_it.more) == (1, False)


async def test_a_device_list_takes_only_what_follows_and_is_signed(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")

    def append(entry: bytes) -> Any:
        return alice.rest(Kind.APPEND_DEVICE_LIST, AppendDeviceList(entry), Nothing)

    good = alice.next_list()
    forged = next_entry(alice.list_state, bea.account_key, (alice.device,), NOW)
    other_chain = replace(good, previous_hash=bytes(32)).sign(alice.account_key)
    stolen = alice.next_list(alice.device, bea.device)
    again = first_entry(alice.account_id, alice.account_key, alice.device, NOW)
    for entry, code in (
        (again, Code.DEVICE_LIST_CONFLICT),
        (forged, Code.DEVICE_LIST_INVALID),
        (other_chain, Code.DEVICE_LIST_INVALID),
        (replace(good, signature=bytes(64)), Code.DEVICE_LIST_INVALID),
        (stolen, Code.DEVICE_LIST_INVALID),
    ):
        assert await refusal_of(append(entry.encode())) == code
    await append(good.encode())
    assert await refusal_of(append(good.encode())) == Code.DEVICE_LIST_CONFLICT


async def test_prekeys_are_published_counted_and_fetched(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    published = PublishPrekeys(prekeys(3, first=10))
    counts = await alice.rest(Kind.PUBLISH_PREKEYS, published, PrekeyCounts)
    assert counts == PrekeyCounts(5, 5)
    request = FetchBundles(alice.account_id, [alice.device_id, bea.device_id])
    (bundle,) = (await bea.rest(Kind.FETCH_BUNDLES, request, Bundles)).bundles
    assert bundle.device_id == alice.device_id
    assert bundle.one_time is not None
    assert bundle.kem is not None
    left = await alice.rest(Kind.COUNT_PREKEYS, Nothing(), PrekeyCounts)
    assert left == PrekeyCounts(4, 4)


async def test_a_server_on_its_way_out_takes_nothing_in(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with alice.live() as socket:
        server.core.draining = True
        asked = socket.ask(Kind.COUNT_PREKEYS, Nothing(), PrekeyCounts)
        assert await refusal_of(asked) == Code.SERVER_DRAINING
        answer = await rest(server, Kind.SESSIONS, encode_body(Nothing()), alice.token)
        assert (answer.status_code, rest_error(answer).code) == (503, Code.SERVER_DRAINING)
        for path in ("/v1/live", "/v1/login"):
            with pytest.raises(InvalidStatus) as refusal:
                async with open_socket(server, path, alice.token):
                    pass
            assert refusal.value.response.status_code == 503


async def test_a_socket_starts_again_after_a_refusal(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/live", alice.token) as socket:
        foreign = LiveStart(None, bytes(16), [Position(os.urandom(16), 0)])
        refused = socket.ask(Kind.LIVE_START, foreign, LiveStarted)
        assert await refusal_of(refused) == Code.STREAM_UNKNOWN
        assert server.core.hub.of_device(alice.account_id, alice.device_id) is None
        await socket.ask(Kind.LIVE_START, LiveStart(None, bytes(16), []), LiveStarted)
        assert server.core.hub.of_device(alice.account_id, alice.device_id) is not None


async def test_settings_that_can_not_be_used_stop_the_start(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for changed, code in (
        (replace(config, data=file / "data"), Code.STORE_BROKEN),
        (replace(config, log=tmp_path / "absent" / "log"), Code.USAGE_CONFIG),
        (replace(config, name="other.example", certificate=file, key=file), Code.USAGE_CONFIG),
    ):
        stopped = Server(changed)
        assert await refusal_of(stopped.start()) == code
        await stopped.stop()
    never_started = Server(config)
    for property_of in (lambda: never_started.pin, lambda: never_started.core):
        with pytest.raises(ParlourError) as refusal:
            property_of()
        assert refusal.value.code == Code.USAGE_STATE


async def test_the_log_goes_to_a_file_if_told_so(config: Config, tmp_path: Path) -> None:
    async with Server(replace(config, log=tmp_path / "log")) as server:
        await Person(server, "alice").register()
    assert '"event": "started"' in (tmp_path / "log").read_text()
