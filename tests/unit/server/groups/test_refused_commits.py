"""What is refused of a commit, and of what goes with it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from parlour.errors import Code, ParlourError
from parlour.mls.private.secrets import ExternalPsk
from parlour.mls.public.framing.messages import (
    PublicMessage,
    decode_message,
    encode_message,
)
from parlour.mls.public.proposals import (
    PreSharedKey,
    ReInit,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import DEFAULT_SUITE
from parlour.mls.public.types import WireFormat
from parlour.server.groups.turns import MAX_WAITING
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.groups import Handshake
from parlour.wire.streams import Part
from tests.served_groups import (
    Device,
    Room,
    Services,
    commit_body,
    with_body,
)
from tests.unit.server.groups.refusals import Case, Cases, check_refused, invalid

case = Cases()


# --- Who, and in which form -----------------------------------------------------------------------


@case(invalid, "a commit of another device")
async def _another_ones_commit(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.commit(case.ada)


@case(invalid, "a commit of another device")
async def _a_commit_of_ones_other_device(case: Case) -> tuple[Device, Handshake]:
    return case.tablet, case.room.commit(case.bea)


@case(Code.STREAM_UNKNOWN, "")
async def _a_stranger(case: Case) -> tuple[Device, Handshake]:
    return case.eve, case.room.commit(case.ada)


@case(invalid, "a commit to another generation")
async def _another_generation_inside(case: Case) -> tuple[Device, Handshake]:
    return case.ada, with_body(case.room.commit(case.ada), generation=1)


@case(invalid, "V0613 group_id")
async def _a_commit_to_another_group(case: Case) -> tuple[Device, Handshake]:
    other = await Room.found(case.services, case.eve)
    case.ada.group = other.beginning(case.ada, other.roster, 3)
    request = other.commit(case.ada)
    return case.ada, msgspec.structs.replace(
        request, stream=case.room.stream, epoch=case.bea.live.epoch
    )


@case(Code.DECODE_MALFORMED, "not a PublicMessage")
async def _a_private_commit(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, wire_format=WireFormat.PRIVATE_MESSAGE)


@case(Code.DECODE_MALFORMED, "not a commit")
async def _a_proposal_as_a_commit(case: Case) -> tuple[Device, Handshake]:
    message = case.ada.live.propose_update(case.services.now // 1000)
    return case.ada, with_body(case.room.commit(case.ada, pending=False), commit=message)


@case(Code.DECODE_TRUNCATED, "")
async def _half_a_commit(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    commit = commit_body(request).commit
    return case.ada, with_body(request, commit=commit[: len(commit) // 2])


@case(Code.DECODE_MALFORMED, "")
async def _a_body_of_something_else(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    return case.ada, msgspec.structs.replace(
        request, envelope=Envelope(1, SuiteId.MLS_COMMIT, b"", b"\x93garbage")
    )


@case(invalid, "an envelope that is no MLS_COMMIT")
async def _a_key_id(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    envelope = msgspec.structs.replace(request.envelope, key_id=b"key")
    return case.ada, msgspec.structs.replace(request, envelope=envelope)


@case(invalid, "an envelope that is no MLS_PROPOSAL")
async def _a_message_as_a_handshake(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    envelope = msgspec.structs.replace(request.envelope, suite=SuiteId.MLS_MESSAGE)
    return case.ada, msgspec.structs.replace(request, envelope=envelope)


@case(invalid, "V0607 content_signature")
async def _a_broken_signature(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    message = decode_message(commit_body(request).commit)
    assert isinstance(message, PublicMessage)
    forged = replace(message.auth, signature=bytes(64))
    return case.ada, with_body(request, commit=encode_message(replace(message, auth=forged)))


# --- Proposals in commits -------------------------------------------------------------------------


@case(invalid, "a proposal of a kind that is not used: REINIT")
async def _a_reinit(case: Case) -> tuple[Device, Handshake]:
    reinit = ReInit(b"another", 1, DEFAULT_SUITE.id, case.ada.live.extensions)
    return case.ada, case.room.commit(case.ada, proposals=[reinit], reinit=True)


@case(invalid, "a proposal of a kind that is not used: PSK")
async def _a_pre_shared_key(case: Case) -> tuple[Device, Handshake]:
    psk_id = PreSharedKeyId(ExternalPskId(b"key"), bytes(32))
    case.ada.live.member.psks.add_external(b"key", ExternalPsk(b"secret".ljust(32)))
    return case.ada, case.room.commit(case.ada, proposals=[PreSharedKey(psk_id)])


# --- What goes with a commit ----------------------------------------------------------------------


async def _adding(case: Case) -> Handshake:
    phone = await case.services.another(case.bea, "phone")
    pad = await case.services.another(case.bea, "pad")
    packages = [phone.key_package(), pad.key_package()]
    return case.room.commit(case.ada, adds=packages)


@case(invalid, "parts for others than the devices that were added")
async def _a_part_is_missing(case: Case) -> tuple[Device, Handshake]:
    request = await _adding(case)
    return case.ada, msgspec.structs.replace(request, parts=request.parts[:1])


@case(invalid, "parts for others than the devices that were added")
async def _a_part_for_somebody_else(case: Case) -> tuple[Device, Handshake]:
    request = await _adding(case)
    more = [*request.parts, Part(case.cid.id, b"psst")]
    return case.ada, msgspec.structs.replace(request, parts=more)


@case(invalid, "parts for others than the devices that were added")
async def _a_part_twice(case: Case) -> tuple[Device, Handshake]:
    request = await _adding(case)
    return case.ada, msgspec.structs.replace(request, parts=[*request.parts, request.parts[0]])


@case(invalid, "a part for another key package")
async def _parts_are_swapped(case: Case) -> tuple[Device, Handshake]:
    request = await _adding(case)
    one, two = request.parts
    swapped = [Part(one.device_id, two.data), Part(two.device_id, one.data)]
    return case.ada, msgspec.structs.replace(request, parts=swapped)


@case(Code.DECODE_TRUNCATED, "")
async def _a_part_of_garbage(case: Case) -> tuple[Device, Handshake]:
    request = await _adding(case)
    one, two = request.parts
    return case.ada, msgspec.structs.replace(request, parts=[Part(one.device_id, b"\x20"), two])


@case(invalid, "a Welcome for nobody, or none")
async def _no_welcome(case: Case) -> tuple[Device, Handshake]:
    return case.ada, with_body(await _adding(case), welcome=b"")


@case(invalid, "a Welcome for nobody, or none")
async def _a_welcome_for_nobody(case: Case) -> tuple[Device, Handshake]:
    return case.ada, with_body(case.room.commit(case.ada), welcome=b"welcome")


@case(Code.DECODE_TRUNCATED, "")
async def _no_group_info(case: Case) -> tuple[Device, Handshake]:
    return case.ada, msgspec.structs.replace(case.room.commit(case.ada), group_info=b"")


@case(invalid, "a GroupInfo of another epoch")
async def _the_group_info_of_this_epoch(case: Case) -> tuple[Device, Handshake]:
    info = case.ada.live.group_info(ratchet_tree=False)
    return case.ada, msgspec.structs.replace(case.room.commit(case.ada), group_info=info)


@case(invalid, "a GroupInfo whose signature does not verify")
async def _a_group_info_with_another_key(case: Case) -> tuple[Device, Handshake]:
    request = case.room.commit(case.ada)
    info = bytearray(request.group_info)
    info[-1] ^= 1
    return case.ada, msgspec.structs.replace(request, group_info=bytes(info))


# --- The tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", case)
async def test_it_is_refused_and_changes_nothing(services: Services, name: str) -> None:
    await check_refused(services, *case[name])


async def test_a_tree_that_fits_no_answer(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await Case(services).begin()
    monkeypatch.setattr("parlour.server.groups.commits.MAX_TREE", 1000)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(case.ada.grant, case.room.commit(case.ada))
    assert refusal.value.code == Code.LIMIT_COUNT


async def test_too_many_wait_for_one_group(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await Case(services).begin()
    turns = services.groups._handshaking._turns
    async with turns.of(case.room.stream):
        lock, _ = turns._locks[case.room.stream]
        turns._locks[case.room.stream] = lock, MAX_WAITING
        with pytest.raises(ParlourError) as refusal:
            await services.groups.handshake(case.ada.grant, case.room.commit(case.ada))
        turns._locks[case.room.stream] = lock, 1
    assert refusal.value.code == Code.LIMIT_RATE
    assert turns._locks == {}


async def test_a_client_id_that_was_used_elsewhere(services: Services) -> None:
    case = await Case(services).begin()
    appended = await case.room.say(case.ada)
    other = await Room.found(services, case.eve)
    await other.add(case.eve, case.ada)
    again = msgspec.structs.replace(other.commit(case.ada), client_id=appended.client_id)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(case.ada.grant, again)
    assert refusal.value.code == Code.USAGE_INVALID
