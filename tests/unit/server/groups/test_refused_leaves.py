"""Leaves that are refused: of whom, under which certificate, and in whose place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code
from parlour.mls import BasicCredential
from parlour.mls.public.credentials import Credential
from parlour.roster import (
    Named,
    Removed,
)
from parlour.roster.readding import MAX_WISH_AGE, MAX_WISH_AHEAD
from parlour.testing.mls import TrustEveryone
from parlour.wire.groups import Handshake, ReadGroup
from tests.served_groups import (
    POLICY,
    Device,
    Services,
    reference_of,
    unique,
    with_body,
)
from tests.unit.server.groups.refusals import OTHER_KEY, Case, Cases, check_refused, invalid

case = Cases()


class Careless(TrustEveryone):
    """What an attacker makes of its own checks."""

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True


CARELESS = replace(POLICY, credentials=Careless())


# --- Leaves ---------------------------------------------------------------------------------------


@case(invalid, "a leaf of an account that may not read")
async def _a_leaf_that_is_not_on_the_roster(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, adds=[case.eve.key_package()])


@case(invalid, "an account was added without a leaf")
async def _an_account_without_a_leaf(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, case.eve.added())


@case(invalid, "a leaf of an account that may not read")
async def _a_leaf_of_who_was_removed(case: Case) -> tuple[Device, Handshake]:
    gone = Removed(case.bea.account)
    return case.ada, case.room.commit(case.ada, gone, removes=[case.bea])


@case(invalid, "a leaf was removed without a reason")
async def _a_leaf_removed_without_a_reason(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, removes=[case.tablet])


@case(invalid, "a leaf was removed without a reason")
async def _a_device_that_is_added_again_unasked(case: Case) -> tuple[Device, Handshake]:
    package = case.tablet.key_package()
    return case.ada, case.room.commit(case.ada, removes=[case.tablet], adds=[package], wishes=())


def _again(case: Case, **fields: Any) -> tuple[Device, Handshake]:
    """The tablet is taken out and in again by a wish that is not right."""
    package = case.tablet.key_package()
    wish = case.room.wish(case.tablet, **({"package": reference_of(package)} | fields))
    commit = case.room.commit(case.ada, removes=[case.tablet], adds=[package], wishes=[wish])
    return case.ada, commit


@case(invalid, "a wish to be added again: for another group or a later epoch")
async def _a_wish_for_another_group(case: Case) -> tuple[Device, Handshake]:
    return _again(case, stream=unique())


@case(invalid, "a wish to be added again: for another group or a later epoch")
async def _a_wish_from_an_epoch_that_is_to_come(case: Case) -> tuple[Device, Handshake]:
    return _again(case, epoch=case.ada.live.epoch + 1)


@case(invalid, "a wish to be added again: too old, or of a wrong clock")
async def _a_wish_that_is_too_old(case: Case) -> tuple[Device, Handshake]:
    return _again(case, at=case.services.now - MAX_WISH_AGE - 1)


@case(invalid, "a wish to be added again: too old, or of a wrong clock")
async def _a_wish_from_the_future(case: Case) -> tuple[Device, Handshake]:
    return _again(case, at=case.services.now + MAX_WISH_AHEAD + 1)


@case(invalid, "a wish of a device that is not on its list")
async def _a_wish_in_anothers_account(case: Case) -> tuple[Device, Handshake]:
    return _again(case, account=case.cid.account)


@case(invalid, "a signature does not verify")
async def _a_wish_that_nobody_signed(case: Case) -> tuple[Device, Handshake]:
    package = case.tablet.key_package()
    wish = case.room.wish(case.tablet, package=reference_of(package))
    wish = replace(wish, signature=bytes(64))
    commit = case.room.commit(case.ada, removes=[case.tablet], adds=[package], wishes=[wish])
    return case.ada, commit


@case(invalid, "a device that comes by another key package than it wished")
async def _a_wish_for_another_key_package(case: Case) -> tuple[Device, Handshake]:
    return _again(case, package=reference_of(case.tablet.key_package()))


@case(invalid, "a wish to be added again that is not fulfilled")
async def _a_wish_that_is_used_up_for_nothing(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, wishes=[case.room.wish(case.tablet)])


@case(invalid, "two leaves of one device")
async def _two_leaves_of_a_device(case: Case) -> tuple[Device, Handshake]:
    case.tablet.identity = case.tablet.certified()
    return case.ada, case.room.commit(case.ada, adds=[case.tablet.key_package()])


@case(invalid, "V0501 credential_accepted")
async def _a_device_that_is_on_no_list(case: Case) -> tuple[Device, Handshake]:
    ghost = Device("ghost", case.bea.account)
    return case.ada, case.room.commit(case.ada, adds=[ghost.key_package()])


@case(invalid, "V0501 credential_accepted")
async def _a_device_that_left_its_list(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    await case.services.unlist(phone)
    return case.ada, case.room.commit(case.ada, adds=[phone.key_package()])


@case(invalid, "V0501 credential_accepted")
async def _a_device_in_anothers_account(case: Case) -> tuple[Device, Handshake]:
    case.eve.identity = Device("eve", case.bea.account, case.eve.key).identity
    return case.ada, case.room.commit(case.ada, adds=[case.eve.key_package()])


@case(invalid, "V0501 credential_accepted")
async def _a_certificate_of_another_key(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    other = phone.certified()
    phone.identity = replace(phone.identity, credential=other.credential)
    return case.ada, case.room.commit(case.ada, adds=[phone.key_package()])


@case(invalid, "V0501 credential_accepted")
async def _a_certificate_that_has_run_out(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    phone.identity = phone.certified(days=1)
    package = phone.key_package()
    case.services.now += 2 * 86_400_000
    return case.ada, case.room.commit(case.ada, adds=[package])


@case(invalid, "V0501 credential_accepted")
async def _a_certificate_from_the_future(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    late = Device("phone", phone.account, phone.key, now=phone.now + 7 * 86_400)
    phone.identity = late.identity
    return case.ada, case.room.commit(case.ada, adds=[phone.key_package()])


@case(Code.DECODE_TRUNCATED, "")
async def _a_leaf_without_a_certificate(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    phone.identity = replace(phone.identity, credential=BasicCredential(b"phone"))
    message = case.ada.live.commit(case.services.now // 1000, adds=[phone.key_package()]).commit
    case.ada.live.clear_pending()
    return case.ada, with_body(case.room.commit(case.ada), commit=message)


@case(invalid, "V0709 leaf_lifetime")
async def _a_key_package_that_has_expired(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    phone.identity = phone.certified(days=179)
    package = phone.key_package()
    request = case.room.commit(case.ada, adds=[package])
    case.services.now += 91 * 86_400_000
    return case.ada, request


# --- From outside ---------------------------------------------------------------------------------


async def _state(case: Case) -> Any:
    return await case.services.groups.read(case.ada.grant, ReadGroup(case.room.stream))


@case(Code.STREAM_UNKNOWN, "")
async def _a_stranger_who_comes_in(case: Case) -> tuple[Device, Handshake]:
    return case.eve, case.room.external(case.eve, await _state(case))[0]


@case(invalid, "V1218 external_commit_successor")
async def _in_the_place_of_another_device(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    leaf = case.room.leaf(case.ada, case.tablet)
    request, _ = case.room.external(phone, await _state(case), resync=leaf, policy=CARELESS)
    return phone, request


@case(invalid, "V1218 external_commit_successor")
async def _in_the_place_of_another_account(case: Case) -> tuple[Device, Handshake]:
    leaf = case.room.leaf(case.ada, case.ada)
    case.bea.identity = case.bea.certified()
    request, _ = case.room.external(case.bea, await _state(case), resync=leaf, policy=CARELESS)
    return case.bea, request


@case(invalid, "a commit of another device")
async def _in_anothers_name(case: Case) -> tuple[Device, Handshake]:
    leaf = case.room.leaf(case.ada, case.ada)
    request, _ = case.room.external(case.ada, await _state(case), resync=leaf)
    return case.bea, request


@case(invalid, "a newcomer that is neither back nor let in")
async def _a_second_leaf_from_outside(case: Case) -> tuple[Device, Handshake]:
    case.bea.identity = case.bea.certified()
    request, _ = case.room.external(case.bea, await _state(case))
    return case.bea, request


@case(invalid, "a newcomer that is neither back nor let in")
async def _a_device_that_comes_in_by_itself(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.bea, "phone")
    return phone, case.room.external(phone, await _state(case))[0]


@case(invalid, OTHER_KEY)
async def _back_under_another_account_key(case: Case) -> tuple[Device, Handshake]:
    leaf = case.room.leaf(case.ada, case.bea)
    case.bea.identity = case.bea.certified()
    request, _ = case.room.external(case.bea, await _state(case), resync=leaf)
    await case.services.show_another_key(case.bea)
    return case.bea, request


@case(invalid, "a newcomer who changes the roster")
async def _a_newcomer_who_changes_the_roster(case: Case) -> tuple[Device, Handshake]:
    entry = case.room.entry(case.ada, Named(bytes(32)))
    leaf = case.room.leaf(case.ada, case.ada)
    request, _ = case.room.external(case.ada, await _state(case), [entry], resync=leaf)
    return case.ada, request


# --- The tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", case)
async def test_it_is_refused_and_changes_nothing(services: Services, name: str) -> None:
    await check_refused(services, *case[name])
