"""Proposals that are refused."""

from __future__ import annotations

import msgspec
import pytest

from parlour.errors import Code, ParlourError
from parlour.mls.public.proposals import (
    Add,
    GroupContextExtensions,
    Remove,
)
from parlour.roster import (
    Removed,
    encode_change,
    leave_statement,
)
from parlour.wire.groups import Handshake, ProposalBody
from parlour.wire.streams import Part
from tests.served_groups import (
    Device,
    Services,
)
from tests.unit.server.groups.refusals import Case, Cases, check_refused, invalid

case = Cases()


@case(invalid, "a proposal of another device")
async def _another_ones_proposal(case: Case) -> tuple[Device, Handshake]:
    return case.tablet, case.room.leave(case.bea)


@case(invalid, "a proposal to remove another one")
async def _a_proposal_to_remove_another(case: Case) -> tuple[Device, Handshake]:
    leaf = case.room.leaf(case.ada, case.ada)
    return case.bea, case.room.leave(case.bea, Remove(leaf))


@case(invalid, "a proposal of a kind that is not used: Add")
async def _a_proposal_to_add(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.leave(case.bea, Add(case.eve.key_package()))


@case(invalid, "a proposal of a kind that is not used: GroupContextExtensions")
async def _a_proposal_of_extensions(case: Case) -> tuple[Device, Handshake]:
    proposal = GroupContextExtensions(case.bea.live.extensions)
    return case.bea, case.room.leave(case.bea, proposal)


@case(invalid, "a signature does not verify")
async def _a_leave_of_another_membership(case: Case) -> tuple[Device, Handshake]:
    statement = leave_statement(case.room.genesis.roster_id, case.bea.account, 9, case.bea.key)
    return case.bea, case.room.leave(case.bea, evidence=encode_change(statement))


@case(invalid, "a statement of another account")
async def _a_leave_of_another_account(case: Case) -> tuple[Device, Handshake]:
    statement = leave_statement(case.room.genesis.roster_id, case.ada.account, 0, case.ada.key)
    return case.bea, case.room.leave(case.bea, evidence=encode_change(statement))


@case(Code.DECODE_MALFORMED, "not a statement to leave")
async def _a_leave_with_something_else(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.leave(case.bea, evidence=encode_change(Removed(case.ada.account)))


@case(Code.DECODE_TRUNCATED, "")
async def _a_leave_without_evidence(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.leave(case.bea, evidence=b"")


@case(invalid, "evidence for nothing")
async def _evidence_for_nothing(case: Case) -> tuple[Device, Handshake]:
    statement = leave_statement(case.room.genesis.roster_id, case.bea.account, 1, case.bea.key)
    message = case.bea.live.propose_update(case.services.now // 1000)
    return case.bea, case.room.proposal(
        case.bea, ProposalBody(0, message, encode_change(statement))
    )


@case(invalid, "a proposal that leads somewhere")
async def _a_proposal_with_parts(case: Case) -> tuple[Device, Handshake]:
    request = case.room.leave(case.bea)
    return case.bea, msgspec.structs.replace(request, parts=[Part(case.ada.id, b"psst")])


@case(invalid, "a proposal to another generation")
async def _a_proposal_to_another_generation(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.leave(case.bea, generation=4)


@case(invalid, "a proposal that is too large")
async def _a_proposal_that_is_too_large(case: Case) -> tuple[Device, Handshake]:
    return case.bea, case.room.proposal(case.bea, ProposalBody(0, bytes(20_000), b""))


@pytest.mark.parametrize("name", case)
async def test_it_is_refused_and_changes_nothing(services: Services, name: str) -> None:
    await check_refused(services, *case[name])


async def test_a_proposal_twice(services: Services) -> None:
    case = await Case(services).begin()
    await case.room.send(case.bea, case.room.leave(case.bea))
    case.bea.live.member.proposals = type(case.bea.live.member.proposals)()
    again = case.room.leave(case.bea)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(case.bea.grant, again)
    assert "proposed before" in refusal.value.detail
