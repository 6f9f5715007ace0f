"""Messages that are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parlour.errors import Code, ParlourError
from parlour.mls.public.types import WireFormat
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.streams import Append, CreateConversation, Part
from tests.served_groups import (
    Device,
    Room,
    Services,
    commit_body,
    unique,
)
from tests.unit.server.groups.refusals import Case, invalid


async def refused_message(case: Case, by: Device, request: Append) -> tuple[Code, str]:
    with pytest.raises(ParlourError) as refusal:
        await case.services.streams.append(by.grant, request)
    return refusal.value.code, refusal.value.detail


async def test_messages_that_are_none(services: Services) -> None:
    case = await Case(services).begin()
    room, ada = case.room, case.ada
    group = ada.live
    not_one = (invalid, "not a message of MLS")

    async def outcome(**fields: Any) -> tuple[Code, str]:
        return await refused_message(case, ada, room.message(ada, **fields))

    def envelope(suite: int, body: bytes) -> Envelope:
        return Envelope(1, suite, b"", body)

    good = group.encrypt(b"hello")
    assert await outcome(envelope=envelope(2, b"pairwise")) == not_one
    assert await outcome(envelope=envelope(SuiteId.MLS_COMMIT, good)) == not_one
    assert await outcome(envelope=envelope(SuiteId.MLS_MESSAGE, b"garbage")) == not_one
    assert await outcome(envelope=envelope(SuiteId.MLS_MESSAGE, b"")) == not_one
    commit = commit_body(room.commit(ada)).commit
    assert await outcome(envelope=envelope(SuiteId.MLS_MESSAGE, commit)) == not_one
    group.clear_pending()
    private = commit_body(room.commit(ada, wire_format=WireFormat.PRIVATE_MESSAGE)).commit
    assert await outcome(envelope=envelope(SuiteId.MLS_MESSAGE, private)) == not_one
    group.clear_pending()
    other = await Room.found(services, case.eve)
    foreign = case.eve.live.encrypt(b"hello")
    assert other.stream != room.stream
    assert await outcome(envelope=envelope(SuiteId.MLS_MESSAGE, foreign)) == not_one
    assert await outcome(parts=[Part(case.bea.id, b"psst")]) == (
        invalid,
        "a message with parts, or with a condition",
    )
    assert (await outcome(expect_epoch=0))[0] == invalid
    # An epoch that has yet to begin.
    group.merge(group.commit(services.now // 1000), services.now // 1000)
    assert await outcome() == (invalid, "an epoch that has not begun")


async def test_messages_of_mls_belong_into_groups(services: Services) -> None:
    case = await Case(services).begin()
    info = await services.streams.create(
        case.ada.grant,
        CreateConversation(unique(), "direct", [case.eve.account], b"genesis"),
    )
    for stream in (info.stream, case.ada.id):
        request = msgspec.structs.replace(case.room.message(case.ada), stream=stream)
        code, _ = await refused_message(case, case.ada, request)
        assert code == invalid


async def test_who_has_no_leaf_says_nothing(services: Services) -> None:
    case = await Case(services).begin()
    phone = await services.another(case.bea, "phone")
    request = case.room.message(case.ada)
    assert (await refused_message(case, phone, request))[0] == Code.GROUP_NOT_MEMBER
    assert (await refused_message(case, case.eve, request))[0] == Code.STREAM_UNKNOWN
    nowhere = msgspec.structs.replace(request, stream=unique())
    assert (await refused_message(case, case.eve, nowhere))[0] == Code.STREAM_UNKNOWN


async def test_a_late_message_of_an_epoch_before_is_taken(services: Services) -> None:
    case = await Case(services).begin()
    late = case.room.message(case.bea)
    await case.room.send(case.ada, case.room.commit(case.ada))
    assert (await services.streams.append(case.bea.grant, late)).seq
