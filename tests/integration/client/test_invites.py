"""Members' invites: who has invited is the first contact, or a server is found out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from parlour.client.client import Client
from parlour.client.signals import Signal
from parlour.errors import Code
from parlour.identity.invite import Invite, InviteSecret
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from tests.town import Town, cheap_homes, next_texts, quick_passwords

from .homes import code_of, held, row, sql


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords(), cheap_homes():
        yield


@pytest.fixture
async def server(town: Town) -> AsyncIterator[Server]:
    async with town.serving() as server:
        yield server


async def invite_of_alice(town: Town, **options: Any) -> Invite:
    async with town.open("alice") as alice:
        await alice.connected()
        invite: Invite = await alice.invites.create(**options)
        return invite


async def met(client: Client) -> None:
    """Wait until the background has met the inviter, or found that it can't."""
    changed: Signal = client._engine.changed
    async with asyncio.timeout(10):
        while client.invites.inviter is not None and client.invites.problem is None:
            await changed.wait(changed.count)


async def test_who_has_invited_is_the_first_contact(town: Town, server: Server) -> None:
    invite = await invite_of_alice(town)
    assert invite.account_name == "alice"
    assert 6 * 86400 < invite.expires_at - time.time() <= 7 * 86400
    await town.register("dora", invite=invite.to_text())
    async with town.open("dora") as dora:
        await dora.connected()
        await dora.invites.meet()
        assert [contact.name for contact in dora.contacts()] == ["alice"]
        assert dora.invites.inviter is None
        assert await dora.invites.meet() is None
        await dora.send("alice", "thank you")
        await dora.sent()
    # It is done once.
    async with town.open("dora", connect=False) as dora:
        assert dora.invites.inviter is None


async def test_they_meet_without_being_asked_to(town: Town, server: Server) -> None:
    invite = await invite_of_alice(town)
    await town.register("dora", invite=invite.to_text())
    async with town.open("dora") as dora:
        await dora.connected()
        await met(dora)
        assert dora.invites.problem is None
        assert [contact.name for contact in dora.contacts()] == ["alice"]


async def test_an_operators_invite_names_nobody(town: Town, server: Server) -> None:
    await town.register("dora")
    async with town.open("dora") as dora:
        assert dora.invites.inviter is None
        assert await dora.invites.meet() is None


async def test_a_server_that_shows_somebody_else_as_the_inviter_is_found_out(
    town: Town, server: Server
) -> None:
    """As it is found out, too, if whoever passed the invite on has put in a key of their own."""
    invite = await invite_of_alice(town)
    mallory = Ed25519PrivateKey.generate().public_key.to_bytes()
    await town.register("dora", invite=replace(invite, account_key=mallory).to_text())
    async with town.open("dora") as dora:
        await dora.connected()
        assert await code_of(dora.invites.meet()) == Code.INVITE_MISMATCH
        assert await code_of(dora.send("alice", "are you it?")) == Code.INVITE_MISMATCH
        assert dora.contacts() == []
        assert dora.invites.problem is None or dora.invites.problem.code is Code.INVITE_MISMATCH
    # It stays so after a restart, until a person has decided.
    async with town.open("dora") as dora:
        await dora.connected()
        assert await code_of(dora.contact("alice")) == Code.INVITE_MISMATCH
        number = await dora.safety_number("alice")
        assert await code_of(dora.send("alice", "are you it?")) == Code.INVITE_MISMATCH
        await dora.accept("alice", number)
        await dora.send("alice", "hello")
        await dora.sent()
    async with town.open("dora", connect=False) as dora:
        await dora.contact("alice")


async def test_comparing_safety_numbers_settles_it_as_well(town: Town, server: Server) -> None:
    invite = await invite_of_alice(town)
    other = Ed25519PrivateKey.generate().public_key.to_bytes()
    await town.register("dora", invite=replace(invite, account_key=other).to_text())
    async with town.open("dora") as dora:
        await dora.connected()
        await dora.verify("alice", await dora.safety_number("alice"))
        await dora.contact("alice")


async def test_a_server_that_hides_the_inviter_is_found_out(town: Town, server: Server) -> None:
    invite = await invite_of_alice(town)
    await town.register("dora", invite=replace(invite, account_name="alicia").to_text())
    async with town.open("dora") as dora:
        await dora.connected()
        assert await code_of(dora.invites.meet()) == Code.INVITE_MISMATCH
        assert dora.invites.inviter == "alicia"


async def test_an_invite_is_used_up_expires_and_is_revoked(town: Town, server: Server) -> None:
    async with town.open("alice") as alice:
        await alice.connected()
        once = await alice.invites.create()
        twice = await alice.invites.create(uses=2, days=1)
        by_hash = await alice.invites.create()
        assert {each.uses for each in await alice.invites.list()} == {1, 2}
        await alice.invites.revoke(twice.to_text())
        assert by_hash.secret is not None
        await alice.invites.revoke(sha256(by_hash.secret.reveal()).hex()[:8])
        assert len(await alice.invites.list()) == 1
        for wrong in (twice, "0123456789", "ab", replace(once, secret=None)):
            assert await code_of(alice.invites.revoke(wrong)) == Code.USAGE_INVALID
        assert await code_of(alice.invites.create(days=31)) == Code.USAGE_INVALID
    await town.register("dora", invite=once.to_text())
    expired = replace(twice, expires_at=int(time.time()) - 1)
    made_up = replace(once, secret=InviteSecret(bytes(16)))
    for invite in (once, twice, by_hash, expired, made_up):
        refused = town.register("emil", invite=invite.to_text())
        assert await code_of(refused) == Code.INVITE_INVALID
        assert not (town.home("emil") / "vault.json").exists()


async def test_an_old_invite_that_a_server_lets_in_again_still_says_whose_it_is(
    town: Town, server: Server
) -> None:
    """How often an invite counts is the server's to say; whose key is in it is not."""
    invite = await invite_of_alice(town)
    await town.register("dora", invite=invite.to_text())
    await sql(server, "UPDATE invites SET uses_left = 1")
    await town.register("emil", invite=invite.to_text())
    alice = await held(town, "alice")
    async with town.open("emil") as emil:
        await emil.connected()
        contact = await emil.invites.meet()
    assert contact is not None
    assert contact.head.account_key == alice.contact.head.account_key


async def test_where_the_operator_alone_invites_members_are_told(town: Town) -> None:
    config = replace(town.config, invites="operator")
    async with Server(config), town.open("alice") as alice:
        await alice.connected()
        assert await code_of(alice.invites.create()) == Code.INVITE_OPERATOR


async def test_the_inviter_reads_what_the_newcomer_says(town: Town, server: Server) -> None:
    invite = await invite_of_alice(town)
    await town.register("dora", invite=invite.to_text())
    async with town.open("dora") as dora, town.open("alice") as alice:
        await dora.send("alice", "here I am")
        assert await next_texts(alice, 1) == ["here I am"]
    assert await row(server, "dora", "name") == ("dora",)
