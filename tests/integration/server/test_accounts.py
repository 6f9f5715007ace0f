"""What keeps an account for years: its list, password, sessions, profile, invites, self stream."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from parlour.errors import Code, ParlourError
from parlour.identity.device_list import next_entry
from parlour.login import ClientRegistration, Stretched
from parlour.primitives.hashes import sha256
from parlour.server import Config, Server, accounts, create_invite
from parlour.server.hub import CLOSE_REFUSED
from parlour.wire.directory import AppendDeviceList, DevicePrekeys
from parlour.wire.invites import CreateInvite, InviteInfo, InviteList, RevokeInvite
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_INVITES
from parlour.wire.login import LogOutEverywhere, RegisterChallenge, Sessions
from parlour.wire.prekeys import Bundles, FetchBundles
from parlour.wire.profiles import ReadProfile, SealedProfile, SetProfile
from parlour.wire.server import Nothing
from parlour.wire.streams import CreateConversation, Entry, StreamInfo
from parlour.wire.vaults import PasswordFinish, PasswordStart, StoredVaults

from .people import NOW, Person, message, prekeys, register
from .requests import in_a_day


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


# --- The device list -------------------------------------------------------------------------


async def test_a_new_device_is_announced_at_once_with_its_prekeys(server: Server) -> None:
    alice, bea, stranger = await register(server, "alice", "bea", "stranger")
    await alice.talk_to(bea)
    tablet = Person(server, "alice", alice.password, alice.account_key)
    tablet.account_id = alice.account_id
    entry = alice.next_list(alice.device, tablet.device)
    append = AppendDeviceList(entry.encode(), [DevicePrekeys(tablet.device_id, prekeys(1))])
    async with alice.live() as at_alice, bea.live() as at_bea, stranger.live() as at_stranger:
        await alice.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
        for socket in (at_alice, at_bea):
            kind, push = await socket.next_push()
            assert (kind, push.account_id, push.number) == (
                Kind.PUSH_DEVICE_LIST,
                alice.account_id,
                1,
            )
        assert at_stranger.pushes.empty()
    request = FetchBundles(alice.account_id, [tablet.device_id])
    (bundle,) = (await bea.rest(Kind.FETCH_BUNDLES, request, Bundles)).bundles
    assert bundle.one_time is not None
    tablet.logged_in = await tablet.log_in()


async def test_a_list_has_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MAX_LIST_ENTRIES", 3)
    (alice,) = await register(server, "alice")
    for _ in range(2):
        await alice.change_list(alice.next_list())
    refused = alice.change_list(alice.next_list())
    assert await refusal_of(refused) == Code.LIMIT_COUNT


async def test_prekeys_are_taken_for_devices_that_are_added(server: Server) -> None:
    (alice,) = await register(server, "alice")
    tablet = await alice.second_device()
    entry = alice.next_list(alice.device, tablet.device)
    for device_id in (alice.device_id, tablet.device_id, os.urandom(16)):
        append = AppendDeviceList(entry.encode(), [DevicePrekeys(device_id, prekeys(1))])
        refused = alice.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
        assert await refusal_of(refused) == Code.USAGE_INVALID
    await alice.change_list(entry)


async def test_a_list_that_demands_approval_takes_no_unapproved_device(server: Server) -> None:
    (alice,) = await register(server, "alice")
    guard = next_entry(
        alice.list_state, alice.account_key, (alice.device,), NOW, needs_approval=True
    )
    await alice.change_list(guard)
    tablet = Person(server, "alice", alice.password, alice.account_key)
    entry = alice.next_list(alice.device, tablet.device)
    append = AppendDeviceList(entry.encode())
    refused = alice.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
    assert await refusal_of(refused) == Code.DEVICE_LIST_APPROVAL
    await alice.change_list(entry.approve(alice.device_key))


async def test_of_two_devices_that_change_the_list_at_once_one_wins(server: Server) -> None:
    (alice,) = await register(server, "alice")
    tablet = await alice.second_device()
    mine = alice.next_list(alice.device, tablet.device)
    theirs = alice.next_list(tablet.device)
    outcomes = await asyncio.gather(
        alice.rest(Kind.APPEND_DEVICE_LIST, AppendDeviceList(mine.encode()), Nothing),
        tablet.rest(Kind.APPEND_DEVICE_LIST, AppendDeviceList(theirs.encode()), Nothing),
        return_exceptions=True,
    )
    codes = [each.code for each in outcomes if isinstance(each, ParlourError)]
    assert codes in ([Code.DEVICE_LIST_CONFLICT], [Code.DEVICE_REMOVED])
    assert sum(isinstance(each, Nothing) for each in outcomes) == 1


# --- Password, vault, sessions ----------------------------------------------------------------


async def test_a_password_is_changed_and_the_vaults_with_it(server: Server) -> None:
    (alice,) = await register(server, "alice")
    before = await alice.rest(Kind.READ_VAULT, Nothing(), StoredVaults)
    assert before == StoredVaults(0, b"sealed vault", None)
    old, alice.password = alice.password, Stretched(os.urandom(32))
    state, request = ClientRegistration.start(alice.password)
    challenge = await alice.rest(Kind.PASSWORD_START, PasswordStart(request), RegisterChallenge)
    upload = state.finish(challenge.response).upload
    finish = PasswordFinish(upload, alice.signed_upload(upload), alice.new_vaults(), False)
    other = (await alice.log_in(password=old)).token
    await alice.rest(Kind.PASSWORD_FINISH, finish, Nothing)
    after = await alice.rest(Kind.READ_VAULT, Nothing(), StoredVaults, token=other)
    assert after == StoredVaults(1, b"next vault", None)
    assert await refusal_of(alice.log_in(password=old)) == Code.LOGIN_FAILED
    assert (await alice.log_in()).vault == b"next vault"


async def test_a_stolen_token_changes_no_password(server: Server) -> None:
    """It has no account key, and nothing that was signed before fits again."""
    alice, mallory = await register(server, "alice", "mallory")
    mallory.name, mallory.account_id = alice.name, alice.account_id
    await alice.rest(Kind.PASSWORD_FINISH, alice.new_password(), Nothing)
    seen = alice.new_password()
    for finish, code in (
        (mallory.new_password(number=2), Code.CRYPTO_SIGNATURE),
        (alice.new_password(vaults=mallory.new_vaults(2)), Code.CRYPTO_SIGNATURE),
        (seen, Code.VAULT_CONFLICT),
        (alice.new_password(number=3), Code.VAULT_CONFLICT),
        (
            structs.replace(alice.new_password(number=2), record_signature=bytes(64)),
            Code.CRYPTO_SIGNATURE,
        ),
        (
            alice.new_password(number=2, vaults=alice.new_vaults(2, recovery=b"x")),
            Code.USAGE_INVALID,
        ),
    ):
        refused = alice.rest(Kind.PASSWORD_FINISH, finish, Nothing)
        assert await refusal_of(refused) == code
    await alice.log_in()


async def test_of_two_devices_that_change_the_password_at_once_one_wins(server: Server) -> None:
    (alice,) = await register(server, "alice")
    tablet = await alice.second_device()
    outcomes = await asyncio.gather(
        alice.rest(Kind.PASSWORD_FINISH, alice.new_password(), Nothing),
        tablet.rest(Kind.PASSWORD_FINISH, tablet.new_password(), Nothing),
        return_exceptions=True,
    )
    codes = [each.code for each in outcomes if isinstance(each, ParlourError)]
    assert codes == [Code.VAULT_CONFLICT]


async def test_a_lost_device_goes_with_the_password_in_one_step(server: Server) -> None:
    (alice,) = await register(server, "alice")
    lost = await alice.second_device()
    third = (await alice.log_in()).token
    entry = alice.next_list()
    finish = alice.new_password(
        Stretched(os.urandom(32)), end_sessions=True, device_list_entry=entry.encode()
    )
    async with lost.live() as at_lost, alice.live() as at_alice:
        await alice.rest(Kind.PASSWORD_FINISH, finish, Nothing)
        async with asyncio.timeout(1):
            assert await at_lost.closed() == CLOSE_REFUSED
        assert at_lost.loose_errors[0].code == Code.DEVICE_REMOVED
        kind, _ = await at_alice.next_push()
        assert kind == Kind.PUSH_DEVICE_LIST
        await at_alice.ask(Kind.SESSIONS, Nothing(), Sessions)
    ended = alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=third)
    assert await refusal_of(ended) == Code.TOKEN_REVOKED
    assert await refusal_of(lost.log_in()) == Code.LOGIN_FAILED


@pytest.mark.parametrize("but_this", [True, False])
async def test_logging_out_everywhere_closes_every_socket(
    server: Server, *, but_this: bool
) -> None:
    alice, bea = await register(server, "alice", "bea")
    tablet = await alice.second_device()
    async with alice.live() as at_alice, tablet.live() as at_tablet, bea.live() as at_bea:
        request = LogOutEverywhere(but_this)
        await alice.rest(Kind.LOG_OUT_EVERYWHERE, request, Nothing)
        async with asyncio.timeout(1):
            assert await at_tablet.closed() == CLOSE_REFUSED
        assert at_tablet.loose_errors[0].code == Code.TOKEN_REVOKED
        await at_bea.ask(Kind.SESSIONS, Nothing(), Sessions)
        if but_this:
            sessions = await at_alice.ask(Kind.SESSIONS, Nothing(), Sessions)
            assert [each.device_id for each in sessions.sessions] == [alice.device_id]
        else:
            assert await at_alice.closed() == CLOSE_REFUSED
    await tablet.log_in()


# --- Profiles -----------------------------------------------------------------------------------


async def test_a_profile_is_read_by_who_shares_a_stream(server: Server) -> None:
    alice, bea, stranger = await register(server, "alice", "bea", "stranger")
    await alice.talk_to(bea)
    ask = ReadProfile(alice.account_id)
    for person in (alice, bea):
        none = person.rest(Kind.READ_PROFILE, ask, SealedProfile)
        assert await refusal_of(none) == Code.PROFILE_UNKNOWN
    for profile in (b"sealed", b"sealed again"):
        await alice.rest(Kind.SET_PROFILE, SetProfile(profile), Nothing)
        for person in (alice, bea):
            read = await person.rest(Kind.READ_PROFILE, ask, SealedProfile)
            assert read.profile == profile
    for account_id in (alice.account_id, stranger.account_id, os.urandom(16)):
        refused = stranger.rest(Kind.READ_PROFILE, ReadProfile(account_id), SealedProfile)
        assert await refusal_of(refused) == Code.PROFILE_UNKNOWN
    await alice.rest(Kind.SET_PROFILE, SetProfile(b""), Nothing)
    gone = bea.rest(Kind.READ_PROFILE, ask, SealedProfile)
    assert await refusal_of(gone) == Code.PROFILE_UNKNOWN


# --- Invites ------------------------------------------------------------------------------------


async def test_a_member_invites_by_a_secret_that_the_server_does_not_know(
    config: Config,
) -> None:
    async with Server(replace(config, registration="invite")) as server:
        operators = create_invite(server.config, host="127.0.0.1", port=server.port, uses=2)
        assert operators.secret is not None
        alice, mallory = Person(server, "alice"), Person(server, "mallory")
        for person in (alice, mallory):
            await person.register(invite=operators.secret.reveal())
        secret, expires = os.urandom(16), in_a_day()
        invite = CreateInvite(sha256(secret), 2, expires)
        await alice.rest(Kind.CREATE_INVITE, invite, Nothing)
        await Person(server, "bea").register(invite=secret)
        listed = await alice.rest(Kind.INVITES, Nothing(), InviteList)
        assert listed.invites == [InviteInfo(sha256(secret), 1, expires)]
        assert (await mallory.rest(Kind.INVITES, Nothing(), InviteList)).invites == []
        revoke = RevokeInvite(sha256(secret))
        assert await refusal_of(mallory.rest(Kind.REVOKE_INVITE, revoke, Nothing)) == (
            Code.USAGE_INVALID
        )
        await alice.rest(Kind.REVOKE_INVITE, revoke, Nothing)
        late = Person(server, "carl").register(invite=secret)
        assert await refusal_of(late) == Code.INVITE_INVALID
        # A hash that is there tells nothing about whose it is, and is not taken over.
        taken = CreateInvite(sha256(operators.secret.reveal()), 1, expires)
        await alice.rest(Kind.CREATE_INVITE, invite, Nothing)
        for again in (taken, invite):
            refused = alice.rest(Kind.CREATE_INVITE, again, Nothing)
            assert await refusal_of(refused) == Code.USAGE_INVALID


async def test_invites_are_bounded_in_number_and_time(server: Server) -> None:
    (alice,) = await register(server, "alice")
    for expires in (0, in_a_day() - 2 * 86_400_000, in_a_day() + 30 * 86_400_000):
        refused = alice.rest(Kind.CREATE_INVITE, CreateInvite(os.urandom(32), 1, expires), Nothing)
        assert await refusal_of(refused) == Code.USAGE_INVALID
    for _ in range(MAX_INVITES):
        invite = CreateInvite(os.urandom(32), 1, in_a_day())
        await alice.rest(Kind.CREATE_INVITE, invite, Nothing)
    one_more = CreateInvite(os.urandom(32), 1, in_a_day())
    refused = alice.rest(Kind.CREATE_INVITE, one_more, Nothing)
    assert await refusal_of(refused) == Code.LIMIT_COUNT
    assert len((await alice.rest(Kind.INVITES, Nothing(), InviteList)).invites) == MAX_INVITES


async def test_the_operator_may_keep_invites_to_themselves(config: Config) -> None:
    async with Server(replace(config, invites="operator")) as server:
        (alice,) = await register(server, "alice")
        invite = CreateInvite(os.urandom(32), 1, in_a_day())
        refused = alice.rest(Kind.CREATE_INVITE, invite, Nothing)
        assert await refusal_of(refused) == Code.INVITE_OPERATOR


# --- Self streams -------------------------------------------------------------------------------


def own_stream(*others: Person) -> CreateConversation:
    members = [person.account_id for person in others]
    return CreateConversation(os.urandom(16), "self", members, b"genesis")


async def test_an_account_has_one_stream_of_its_own_devices(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    tablet = await alice.second_device()
    async with tablet.live() as at_tablet:
        info = await alice.rest(Kind.CREATE_CONVERSATION, own_stream(alice), StreamInfo)
        assert (info.kind, info.members) == ("self", [alice.account_id])
        kind, push = await at_tablet.next_push()
        assert (kind, push.stream) == (Kind.PUSH_STREAM, info)
        again = await tablet.rest(Kind.CREATE_CONVERSATION, own_stream(alice), StreamInfo)
        assert again == info
        await alice.say(info.stream, b"read up to 7", tablet)
        kind, push = await at_tablet.next_push()
        entry: Entry = push.entry
        assert (entry.stream, entry.part) == (info.stream, b"for alice")
    hers = await bea.rest(Kind.CREATE_CONVERSATION, own_stream(bea), StreamInfo)
    assert hers.stream != info.stream
    forbidden = bea.say(info.stream, b"")
    assert await refusal_of(forbidden) == Code.STREAM_UNKNOWN
    stray = alice.rest(Kind.APPEND, message(info.stream, b"x", bea), Entry)
    assert await refusal_of(stray) == Code.STREAM_PARTS
    with_bea = alice.rest(Kind.CREATE_CONVERSATION, own_stream(alice, bea), StreamInfo)
    assert await refusal_of(with_bea) == Code.USAGE_INVALID
    # The stream of the pair is another one.
    assert (await alice.talk_to(bea)).stream not in (info.stream, hers.stream)
