"""Changes of the roster that are refused, and accounts that show another key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import Code
from parlour.mls.public.extensions import Extension
from parlour.mls.public.proposals import (
    GroupContextExtensions,
)
from parlour.mls.public.types import ExtensionType
from parlour.roster import (
    NO_KEY,
    Named,
    Removed,
    Role,
    RoleSet,
)
from parlour.server.store.records import NewDevice
from parlour.wire.groups import Handshake
from tests.served_groups import (
    Device,
    Services,
)
from tests.unit.server.groups.refusals import OTHER_KEY, Case, Cases, check_refused, invalid

case = Cases()


# --- The roster -----------------------------------------------------------------------------------


@case(Code.ROSTER_FORBIDDEN, "no right to add")
async def _a_member_who_adds(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.bea, case.eve.added())
    package = case.eve.key_package()
    return case.bea, case.room.commit(case.bea, adds=[package], entries=[entry])


@case(Code.ROSTER_FORBIDDEN, "no right to remove above the own role")
async def _a_moderator_who_removes_the_owner(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.cid, Removed(case.ada.account))
    return case.cid, case.room.commit(case.cid, removes=[case.ada], entries=[entry])


@case(Code.ROSTER_FORBIDDEN, "no right to set role")
async def _a_member_who_makes_itself_owner(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.bea, RoleSet(case.bea.account, Role.OWNER))
    return case.bea, case.room.commit(case.bea, entries=[entry])


@case(invalid, "a signature does not verify")
async def _an_entry_in_anothers_name(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.ada, Named(bytes(32)))
    forged = replace(entry, signature=case.bea.key.sign(b"something"))
    return case.bea, case.room.commit(case.bea, entries=[forged])


@case(invalid, "a roster entry of a device that is not on its list")
async def _an_entry_of_a_device_that_left_its_list(case: Case) -> tuple[Device, Handshake]:
    phone = await case.services.another(case.ada, "phone")
    case.room.known.append(phone)
    await case.services.unlist(phone)
    entry = case.forged_entry(phone, Named(bytes(32)))
    return case.ada, case.room.commit(case.ada, entries=[entry])


@case(invalid, "an entry at or before the head")
async def _an_old_entry(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, entries=[case.room.roster.head])


@case(invalid, "an entry after another head")
async def _another_history(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.ada, Named(bytes(32)), previous=bytes(32))
    return case.ada, case.room.commit(case.ada, entries=[entry])


@case(invalid, "an entry that leads to another state")
async def _another_state(case: Case) -> tuple[Device, Handshake]:
    entry = case.forged_entry(case.ada, Named(bytes(32)))
    return case.ada, case.room.commit(case.ada, entries=[entry])


@case(invalid, "an epoch that is not bound to the newest roster entry")
async def _a_binding_to_the_entry_before(case: Case) -> tuple[Device, Handshake]:
    old = case.room.roster.binding.encode()
    return case.ada, case.room.commit(case.ada, Named(bytes(32)), bind=old)


@case(invalid, "an epoch that is not bound to the newest roster entry")
async def _a_binding_to_nothing(case: Case) -> tuple[Device, Handshake]:
    return case.ada, case.room.commit(case.ada, bind=bytes(72))


@case(invalid, "other extensions of the group were changed")
async def _another_extension(case: Case) -> tuple[Device, Handshake]:
    extensions = case.ada.live.extensions.with_(
        Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x00\x00\x00")
    )
    return case.ada, case.room.commit(case.ada, proposals=[GroupContextExtensions(extensions)])


# --- Account keys ---------------------------------------------------------------------------------


@case(invalid, OTHER_KEY)
async def _an_account_under_a_key_that_it_does_not_show(case: Case) -> tuple[Device, Handshake]:
    entry = replace(case.eve.added(), key=case.ada.account_key.public_key.to_bytes())
    return case.ada, case.room.commit(case.ada, entry, adds=[case.eve.key_package()])


@case(invalid, OTHER_KEY)
async def _an_account_without_a_key(case: Case) -> tuple[Device, Handshake]:
    entry = replace(case.eve.added(), key=NO_KEY)
    return case.ada, case.room.commit(case.ada, entry, adds=[case.eve.key_package()])


@case(invalid, OTHER_KEY)
async def _a_new_device_under_another_account_key(case: Case) -> tuple[Device, Handshake]:
    await case.services.show_another_key(case.bea)
    phone = await case.services.another(case.bea, "phone")
    return case.ada, case.room.commit(case.ada, adds=[phone.key_package()])


@case(invalid, OTHER_KEY)
async def _a_commit_under_another_account_key(case: Case) -> tuple[Device, Handshake]:
    await case.services.show_another_key(case.bea)
    return case.bea, case.room.commit(case.bea)


@case(invalid, OTHER_KEY)
async def _an_account_whose_list_nobody_can_read(case: Case) -> tuple[Device, Handshake]:
    await case.services.store.devices.append_list(
        case.eve.account,
        1,
        b"no list",
        [NewDevice(case.eve.id, case.eve.key.public_key.to_bytes(), inbox=case.eve.id)],
        now=case.services.now,
    )
    return case.ada, case.room.commit(case.ada, case.eve.added(), adds=[case.eve.key_package()])


# --- The tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", case)
async def test_it_is_refused_and_changes_nothing(services: Services, name: str) -> None:
    await check_refused(services, *case[name])
