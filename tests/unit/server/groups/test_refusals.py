"""What hostile or broken members send: each is refused by name, and nothing has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from parlour.errors import Code, ParlourError
from parlour.mls import BasicCredential, Group
from parlour.mls.private.secrets import ExternalPsk
from parlour.mls.public.credentials import Credential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.messages import (
    PublicMessage,
    decode_message,
    encode_message,
)
from parlour.mls.public.proposals import (
    Add,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import DEFAULT_SUITE
from parlour.mls.public.types import ExtensionType, WireFormat
from parlour.roster import (
    EXTENSION_TYPE,
    NO_KEY,
    Kind,
    Named,
    Removed,
    Role,
    RoleSet,
    RosterEntry,
    encode_change,
    leave_statement,
)
from parlour.roster.readding import MAX_WISH_AGE, MAX_WISH_AHEAD
from parlour.server.groups.tracked import mls_group_id
from parlour.server.groups.turns import MAX_WAITING
from parlour.server.store.records import NewDevice
from parlour.testing.mls import TrustEveryone
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.groups import Handshake, ProposalBody, ReadGroup
from parlour.wire.streams import Append, CreateConversation, Part
from tests.served_groups import (
    POLICY,
    Device,
    Room,
    Services,
    commit_body,
    reference_of,
    unique,
    with_body,
)

Make = Callable[["Case"], Awaitable[tuple[Device, Handshake]]]
CASES: dict[str, tuple[Make, Code, str]] = {}
OTHER_KEY = "a leaf of an account that shows another key than it came in under"


class Case:
    """Ada owns a group of three; Bea is a member with a tablet, Cid a moderator; Eve is nobody."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def begin(self) -> Case:
        services = self.services
        self.ada, self.bea, self.cid, self.eve = await services.devices("ada", "bea", "cid", "eve")
        self.room = await Room.of(services, self.ada, self.bea)
        self.tablet = await services.another(self.bea, "tablet")
        await self.room.add(self.ada, self.tablet)
        await self.room.add(self.ada, self.cid, role=Role.MODERATOR)
        self.room.known.append(self.eve)
        return self

    def forged_entry(self, by: Device, *changes: Any, **fields: Any) -> RosterEntry:
        """An entry that nobody would make."""
        roster = self.room.roster
        values: dict[str, Any] = {
            "roster_id": roster.state.roster_id,
            "number": roster.number + 1,
            "previous": roster.head_hash,
            "changes": changes,
            "state_hash": bytes(32),
            "signer_account": by.account,
            "signer_device": by.id,
            "at": self.services.now,
        }
        return RosterEntry(**(values | fields)).sign(by.key)


def case(code: Code, detail: str) -> Callable[[Make], Make]:
    def note(make: Make) -> Make:
        CASES[make.__name__.strip("_")] = (make, code, detail)
        return make

    return note


invalid = Code.GROUP_INVALID


# --- Who, and in which form ---------------------------------------------------------------------


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


# --- The roster ---------------------------------------------------------------------------------


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


# --- Leaves -------------------------------------------------------------------------------------


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


# --- Proposals in commits -----------------------------------------------------------------------


@case(invalid, "a proposal of a kind that is not used: REINIT")
async def _a_reinit(case: Case) -> tuple[Device, Handshake]:
    reinit = ReInit(b"another", 1, DEFAULT_SUITE.id, case.ada.live.extensions)
    return case.ada, case.room.commit(case.ada, proposals=[reinit], reinit=True)


@case(invalid, "a proposal of a kind that is not used: PSK")
async def _a_pre_shared_key(case: Case) -> tuple[Device, Handshake]:
    psk_id = PreSharedKeyId(ExternalPskId(b"key"), bytes(32))
    case.ada.live.member.psks.add_external(b"key", ExternalPsk(b"secret".ljust(32)))
    return case.ada, case.room.commit(case.ada, proposals=[PreSharedKey(psk_id)])


# --- What goes with a commit --------------------------------------------------------------------


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


class Careless(TrustEveryone):
    """What an attacker makes of its own checks."""

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True


CARELESS = replace(POLICY, credentials=Careless())


# --- Account keys -------------------------------------------------------------------------------


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


# --- From outside -------------------------------------------------------------------------------


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


# --- Proposals ----------------------------------------------------------------------------------


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


# --- The tests ----------------------------------------------------------------------------------


def dump(services: Services) -> list[str]:
    """All that is in the database about groups and entries."""
    path = services._folder / "parlour.db"
    with closing(sqlite3.connect(path)) as connection:
        return [
            str(row)
            for table in (
                "streams",
                "entries",
                "parts",
                "members",
                "former_members",
                "mls_groups",
                "group_nodes",
                "group_leaves",
                "group_proposals",
                "group_epochs",
            )
            for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608
        ]


@pytest.mark.parametrize("name", CASES)
async def test_it_is_refused_and_changes_nothing(services: Services, name: str) -> None:
    make, code, detail = CASES[name]
    case = await Case(services).begin()
    device, request = await make(case)
    before = dump(services)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(device.grant, request)
    assert refusal.value.code == code
    assert detail in refusal.value.detail
    assert dump(services) == before
    # The group goes on, whoever else has been confused.
    for each in case.room.devices:
        if each.live.pending is not None:
            each.live.clear_pending()
    if case.cid.live.proposals:
        return
    await services.groups.handshake(case.cid.grant, case.room.commit(case.cid))


async def test_a_proposal_twice(services: Services) -> None:
    case = await Case(services).begin()
    await case.room.send(case.bea, case.room.leave(case.bea))
    case.bea.live.member.proposals = type(case.bea.live.member.proposals)()
    again = case.room.leave(case.bea)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.handshake(case.bea.grant, again)
    assert "proposed before" in refusal.value.detail


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


# --- Messages -----------------------------------------------------------------------------------


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


# --- Founding -----------------------------------------------------------------------------------


FOUNDINGS: dict[str, tuple[Callable[[Room, Device, Device], Any], str]] = {
    "another kind": (
        lambda room, ada, eve: room.creation(ada, kind="family"),
        "a genesis of another kind",
    ),
    "an inbox": (
        lambda room, ada, eve: room.creation(ada, kind="inbox"),
        "a genesis of another kind",
    ),
    "another stream": (
        lambda room, ada, eve: room.creation(ada, stream=unique()),
        "a genesis of another stream",
    ),
    "another tree": (
        lambda room, ada, eve: room.creation(ada, tree=room.beginning(eve, room.roster, 0).tree()),
        "V1259 tree_hash",
    ),
    "another generation": (
        lambda room, ada, eve: room.creation(
            ada, group_info=room.beginning(ada, room.roster, 1).group_info(ratchet_tree=False)
        ),
        "the MLS group of another stream or generation",
    ),
    "another device's leaf": (
        lambda room, ada, eve: room.creation(
            ada,
            group_info=(group := room.beginning(eve, room.roster, 0)).group_info(
                ratchet_tree=False
            ),
            tree=group.tree(),
        ),
        "V0501 credential_accepted",
    ),
    "a tree inside": (
        lambda room, ada, eve: room.creation(ada, group_info=ada.live.group_info()),
        "a GroupInfo with the tree in it",
    ),
    "nothing for newcomers": (
        lambda room, ada, eve: room.creation(
            ada, group_info=ada.live.group_info(ratchet_tree=False, external_pub=False)
        ),
        "a GroupInfo without external_pub",
    ),
}


@pytest.mark.parametrize("name", FOUNDINGS)
async def test_a_founding_that_does_not_fit(services: Services, name: str) -> None:
    make, detail = FOUNDINGS[name]
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP)
    request = make(room, ada, eve)
    before = dump(services)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, request)
    assert refusal.value.code == invalid
    assert detail in refusal.value.detail
    assert dump(services) == before


async def test_a_founding_by_another(services: Services) -> None:
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(eve.grant, room.creation(ada))
    assert "a genesis of another device" in refusal.value.detail


async def test_a_founding_with_others(services: Services) -> None:
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP, eve)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert "others than its creator" in refusal.value.detail


async def test_a_founding_in_a_later_epoch(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.GROUP)
    ada.live.merge(ada.live.commit(services.now // 1000), services.now // 1000)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert "a beginning in a later epoch" in refusal.value.detail


async def test_a_founding_without_a_roster(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.GROUP)
    for extensions in ((), (Extension(EXTENSION_TYPE, room.roster.binding.encode()),)):
        ada.group = Group.create(
            ada.identity,
            mls_group_id(room.stream, 0),
            services.now // 1000,
            policy=POLICY,
            extensions=Extensions.of(extensions),
        )
        with pytest.raises(ParlourError) as refusal:
            await services.groups.create(ada.grant, room.creation(ada))
        assert "other extensions of a group" in refusal.value.detail


async def test_beginnings_under_another_account_key(services: Services) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada)
    restart = room.restart(ada)[0]
    planned = Room.planned(services, ada, Kind.FAMILY)
    await services.show_another_key(ada)
    for beginning in (
        services.groups.create(ada.grant, planned.creation(ada)),
        services.groups.restart(ada.grant, restart),
    ):
        with pytest.raises(ParlourError) as refusal:
            await beginning
        assert refusal.value.code == Code.GROUP_INVALID
        assert "another key than it came in under" in refusal.value.detail


async def test_a_direct_conversation_outlives_an_account_key(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = Room.planned(services, ada, Kind.DIRECT, bea)
    await services.groups.create(ada.grant, room.creation(ada))
    await services.show_another_key(bea)
    await room.add(ada, bea)
    await room.say(bea)


async def test_a_direct_conversation_with_nobody(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.DIRECT, Device("nobody"))
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert refusal.value.code == Code.ACCOUNT_UNKNOWN
