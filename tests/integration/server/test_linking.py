"""Linking a device over real sockets, and those who try to sit in the mailbox."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListState
from parlour.identity.link_messages import Offer
from parlour.identity.linking import (
    LinkText,
    NewDeviceLink,
    OldDeviceLink,
    OwnAccount,
    ServerPlace,
)
from parlour.identity.vault import AccountSecret
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Config, Server
from parlour.server.links import LinkService
from parlour.server.mailboxes import LIFETIME_MS, MAX_BY_ACCOUNT, MAX_BY_ADDRESS
from parlour.server.talk import LoginTalk
from parlour.wire.directory import AppendDeviceList, DevicePrekeys
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_LINK_ANSWER, MAX_LINK_OFFER
from parlour.wire.linking import YES, LinkAnswer, LinkMessage, LinkOffer, LinkTake, LinkWait
from parlour.wire.login import LoggedIn, Sessions
from parlour.wire.prekeys import Bundles, FetchBundles, Prekey
from parlour.wire.server import Nothing

from .people import NOW, Person, Socket, open_socket, prekeys, register

SECRET = AccountSecret(b"account secret 1")
BOX = b"mailbox of alice"


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


def place(server: Server) -> ServerPlace:
    return ServerPlace(server.core.identity.name, "127.0.0.1", server.port, server.pin)


class NewDevice:
    """A device that is not on any list yet."""

    def __init__(self, server: Server, socket: Socket) -> None:
        self.server = server
        self.socket = socket
        self.key = Ed25519PrivateKey.generate()
        self.device = Person.make_device(self.key)
        self.prekeys = tuple(encode_body(each) for each in prekeys(0))

    def proof(self, mailbox: bytes) -> bytes:
        return self.key.sign(
            proofs.link(
                server=self.server.core.identity.name,
                pin=self.server.pin,
                mailbox=mailbox,
                device_id=self.device.device_id,
            )
        )

    async def offer(
        self, mailbox: bytes, number: int, message: bytes | None, *, opens: bool = False
    ) -> None:
        key = self.key.public_key.to_bytes()
        body = LinkOffer(mailbox, key, self.proof(mailbox), number, message, opens)
        await self.socket.ask(Kind.LINK_OFFER, body, Nothing)

    async def wait(self, mailbox: bytes, number: int) -> LinkMessage:
        body = LinkWait(mailbox, self.key.public_key.to_bytes(), self.proof(mailbox), number)
        return await self.socket.ask(Kind.LINK_WAIT, body, LinkMessage)


async def take(person: Person, mailbox: bytes, number: int, *, opens: bool = False) -> LinkMessage:
    return await person.rest(Kind.LINK_TAKE, LinkTake(mailbox, number, opens), LinkMessage)


async def answer(person: Person, mailbox: bytes, number: int, message: bytes | None) -> None:
    await person.rest(Kind.LINK_ANSWER, LinkAnswer(mailbox, number, message), Nothing)


async def at_old_device(
    person: Person, link: OldDeviceLink, codes: list[str], *, opens: bool
) -> None:
    """All that the old device does. Both codes are left in `codes` for a person to compare."""
    mailbox = link.text.mailbox
    offer = (await take(person, mailbox, 0, opens=opens)).message
    assert offer is not None
    await answer(person, mailbox, 0, link.receive_offer(offer, now=NOW))
    opening = (await take(person, mailbox, 1)).message
    assert opening is not None
    codes.append(link.receive_opening(opening, now=NOW))
    state = await put_on_list(person, link.offer)
    message = link.answer(
        person.account_key, state, secret=SECRET, pin=None, snapshot=b"contacts", now=NOW
    )
    await answer(person, mailbox, 1, message)


async def put_on_list(person: Person, offer: Offer | None) -> DeviceListState:
    assert offer is not None
    entry = person.next_list(person.device, offer.device)
    offered = [decode_body(each, Prekey) for each in offer.prekeys]
    append = AppendDeviceList(entry.encode(), [DevicePrekeys(offer.device.device_id, offered)])
    await person.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
    person.list_state = person.list_state.extend(entry)
    return person.list_state


async def at_new_device(
    device: NewDevice, link: NewDeviceLink, codes: list[str], *, opens: bool
) -> LoggedIn:
    """All that the new device does, after its code was shown or scanned."""
    mailbox = link.text.mailbox
    if not opens:
        await device.offer(mailbox, 0, link.offer)
    greeting = (await device.wait(mailbox, 0)).message
    assert greeting is not None
    link.receive_greeting(greeting, now=NOW)
    codes.append(link.code)
    await device.offer(mailbox, 1, link.opening)
    message = await device.wait(mailbox, 1)
    assert message.message is not None
    assert message.logged_in is not None
    linked = link.receive_answer(message.message, now=NOW)
    assert (linked.secret, linked.snapshot) == (SECRET, b"contacts")
    assert (linked.account_id, linked.name) == (message.logged_in.account_id, "alice")
    return message.logged_in


def account_of(person: Person) -> OwnAccount:
    return OwnAccount(person.account_id, person.account_key.public_key, person.name)


async def check_linked(person: Person, device: NewDevice, logged_in: LoggedIn) -> None:
    """The new device is logged in, can be written to, and stands on the list."""
    assert logged_in.device_id == logged_in.inbox == device.device.device_id
    assert logged_in.vault == b"sealed vault"
    sessions = await person.rest(Kind.SESSIONS, Nothing(), Sessions, token=logged_in.token)
    assert {each.device_id for each in sessions.sessions} == {
        person.device_id,
        logged_in.device_id,
    }
    request = FetchBundles(person.account_id, [logged_in.device_id])
    assert len((await person.rest(Kind.FETCH_BUNDLES, request, Bundles)).bundles) == 1


async def test_the_new_device_shows_and_the_old_one_scans(server: Server) -> None:
    (alice,) = await register(server, "alice")
    codes: list[str] = []
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        new = NewDeviceLink.show(
            place(server), device=device.device, prekeys=device.prekeys, now=NOW
        )
        await device.offer(new.text.mailbox, 0, new.offer, opens=True)
        scanned = LinkText.from_text(new.text.to_text())
        old = OldDeviceLink.scan(scanned, place(server), account_of(alice), now=NOW)
        logged_in, _ = await asyncio.gather(
            at_new_device(device, new, codes, opens=True),
            at_old_device(alice, old, codes, opens=False),
        )
    assert len(codes) == 2
    assert len(set(codes)) == 1
    await check_linked(alice, device, logged_in)


async def test_the_old_device_shows_and_the_new_one_scans(server: Server) -> None:
    (alice,) = await register(server, "alice")
    codes: list[str] = []
    old = OldDeviceLink.show(place(server), account_of(alice), now=NOW)
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        # The old one opens the mailbox before it shows the code, and finds nothing yet.
        await take_in_background(alice, old.text.mailbox)
        opening = asyncio.create_task(at_old_device(alice, old, codes, opens=True))
        new = NewDeviceLink.scan(
            LinkText.from_text(old.text.to_text()),
            device=device.device,
            prekeys=device.prekeys,
            now=NOW,
        )
        logged_in = await at_new_device(device, new, codes, opens=False)
        await opening
    assert len(set(codes)) == 1
    await check_linked(alice, device, logged_in)


async def test_a_lost_answer_is_asked_for_again_by_the_same_device_alone(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await linked_by_hand(alice, device)
        first = await device.wait(BOX, 1)
    async with open_socket(server, "/v1/login") as socket:
        device.socket = socket
        again = await device.wait(BOX, 1)
        assert again.message == first.message
        assert again.logged_in is not None
        await alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=again.logged_in.token)
        stranger = NewDevice(server, socket)
        assert await refusal_of(stranger.wait(BOX, 1)) == Code.LINK_EXPIRED


async def linked_by_hand(person: Person, device: NewDevice) -> None:
    """All messages of a linking, with words instead of ciphertext."""
    await device.offer(BOX, 0, b"offer", opens=True)
    await take(person, BOX, 0)
    await answer(person, BOX, 0, b"greeting")
    await device.offer(BOX, 1, b"opening")
    await person.change_list(person.next_list(person.device, device.device))
    await answer(person, BOX, 1, b"answer")


# --- Strangers -----------------------------------------------------------------------------


async def test_a_second_new_device_ends_it_for_both_sides(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as one, open_socket(server, "/v1/login") as other:
        device, stranger = NewDevice(server, one), NewDevice(server, other)
        await device.offer(BOX, 0, b"offer", opens=True)
        waiting = asyncio.create_task(device.wait(BOX, 0))
        assert await refusal_of(stranger.offer(BOX, 0, b"hers")) == Code.LINK_CONFLICT
        assert await refusal_of(waiting) == Code.LINK_CONFLICT
        assert await refusal_of(take(alice, BOX, 0)) == Code.LINK_CONFLICT
        assert await refusal_of(take(alice, BOX, 0, opens=True)) == Code.LINK_CONFLICT
        assert await refusal_of(device.offer(BOX, 0, b"offer", opens=True)) == Code.LINK_CONFLICT


async def test_a_second_old_device_ends_it_for_both_sides(server: Server) -> None:
    """Another account, and another device of the same one: only one person scans a code."""
    for seed in (b"one", b"two"):
        alice, mallory = await register(server, f"alice-{seed.decode()}", f"m-{seed.decode()}")
        if seed == b"two":
            mallory = await alice.second_device()
        box = seed.ljust(16)
        async with open_socket(server, "/v1/login") as socket:
            device = NewDevice(server, socket)
            await device.offer(box, 0, b"offer", opens=True)
            await take(alice, box, 0)
            assert await refusal_of(take(mallory, box, 0)) == Code.LINK_CONFLICT
            assert await refusal_of(answer(alice, box, 0, b"greeting")) == Code.LINK_CONFLICT
            assert await refusal_of(device.wait(box, 0)) == Code.LINK_CONFLICT


async def test_a_code_that_was_used_is_not_used_again(server: Server) -> None:
    alice, mallory = await register(server, "alice", "mallory")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await linked_by_hand(alice, device)
        stranger = NewDevice(server, socket)
        assert await refusal_of(stranger.offer(BOX, 0, b"hers", opens=True)) == Code.LINK_USED
        assert await refusal_of(take(mallory, BOX, 0)) == Code.LINK_USED
        assert (await device.wait(BOX, 1)).message == b"answer"  # she ended nothing


async def test_a_code_that_nobody_shows_or_that_is_old_is_expired(config: Config) -> None:
    now = [NOW * 1000]
    async with Server(config, clock=lambda: now[0]) as server:
        (alice,) = await register(server, "alice")
        async with open_socket(server, "/v1/login") as socket:
            device = NewDevice(server, socket)
            for attempt in (
                device.offer(BOX, 0, b"offer"),
                device.wait(BOX, 0),
                take(alice, BOX, 0),
                answer(alice, BOX, 0, b"greeting"),
            ):
                assert await refusal_of(attempt) == Code.LINK_EXPIRED
            await device.offer(BOX, 0, b"offer", opens=True)
            now[0] += LIFETIME_MS - 1
            assert (await take(alice, BOX, 0)).message == b"offer"
            now[0] += 1
            assert await refusal_of(take(alice, BOX, 0)) == Code.LINK_EXPIRED
            await device.offer(BOX, 0, b"offer", opens=True)
            now[0] -= LIFETIME_MS  # a clock that is set back
            assert await refusal_of(take(alice, BOX, 0)) == Code.LINK_EXPIRED


async def test_who_waits_learns_that_the_time_is_over(config: Config) -> None:
    now = [NOW * 1000]
    async with Server(config, clock=lambda: now[0]) as server:
        (alice,) = await register(server, "alice")
        waiting = await waiting_for_an_offer(alice)
        now[0] += LIFETIME_MS
        assert await refusal_of(take(alice, b"another mailbox!", 0)) == Code.LINK_EXPIRED
        assert await refusal_of(waiting) == Code.LINK_EXPIRED


async def waiting_for_an_offer(person: Person) -> asyncio.Task[LinkMessage]:
    """A request that has reached the mailbox and waits there."""
    grant = await person.server.core.sessions.authenticate(person.token)
    take = person.server.core.links.take(grant, LinkTake(BOX, 0, True))
    task = asyncio.create_task(take)
    await asyncio.sleep(0)  # it comes as far as the wait without any other
    return task


async def test_the_old_device_says_no(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await device.offer(BOX, 0, b"offer", opens=True)
        waiting = asyncio.create_task(device.wait(BOX, 0))
        await answer(alice, BOX, 0, None)
        assert await refusal_of(waiting) == Code.LINK_REFUSED


async def test_the_new_device_says_no(server: Server) -> None:
    """Also when the old one has said yes, and waits; nobody else can say it."""
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await device.offer(BOX, 0, b"offer", opens=True)
        await take(alice, BOX, 0)
        await answer(alice, BOX, 0, b"greeting")
        await device.offer(BOX, 1, b"opening")
        waiting = asyncio.create_task(take(alice, BOX, 2))
        await device.offer(BOX, 0, None)
        assert await refusal_of(waiting) == Code.LINK_REFUSED
        assert await refusal_of(answer(alice, BOX, 1, b"answer")) == Code.LINK_REFUSED
        # A no opens no mailbox.
        assert await refusal_of(device.offer(bytes(16), 0, None, opens=True)) == Code.LINK_EXPIRED


async def test_the_new_device_says_yes(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await device.offer(BOX, 0, b"offer", opens=True)
        await take(alice, BOX, 0)
        await answer(alice, BOX, 0, b"greeting")
        assert await refusal_of(device.offer(BOX, 2, YES)) == Code.USAGE_STATE
        await device.offer(BOX, 1, b"opening")
        for _ in range(2):
            await device.offer(BOX, 2, YES)
        assert (await take(alice, BOX, 2)).message == YES


async def test_no_session_without_the_devices_key_and_its_place_on_the_list(
    server: Server,
) -> None:
    alice, bea = await register(server, "alice", "bea")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        forged = LinkOffer(BOX, device.key.public_key.to_bytes(), bytes(64), 0, b"offer", True)
        for body in (
            forged,
            LinkOffer(BOX, bytes(32), bytes(64), 0, b"offer", True),
            LinkOffer(BOX, forged.device_key, device.proof(bytes(16)), 0, b"offer", True),
        ):
            assert await refusal_of(socket.ask(Kind.LINK_OFFER, body, Nothing)) == (
                Code.LOGIN_BINDING
            )
        await device.offer(BOX, 0, b"offer", opens=True)
        await take(alice, BOX, 0)
        await answer(alice, BOX, 0, b"greeting")
        # Not on any list; on somebody else's; on it, and gone again.
        assert await refusal_of(answer(alice, BOX, 1, b"answer")) == Code.DEVICE_UNKNOWN
        entry = alice.next_list(alice.device, device.device)
        await alice.change_list(entry)
        await alice.change_list(alice.next_list())
        assert await refusal_of(answer(alice, BOX, 1, b"answer")) == Code.DEVICE_UNKNOWN
        await alice.change_list(alice.next_list(alice.device, device.device))
        await answer(alice, BOX, 1, b"answer")
        await alice.change_list(alice.next_list())
        assert await refusal_of(device.wait(BOX, 1)) == Code.DEVICE_REMOVED
        # Bea's device is on a list, but not on Alice's.
        other = b"another mailbox!"
        await take_in_background(alice, other)
        hers = NewDevice(server, socket)
        hers.key, hers.device = bea.device_key, bea.device
        await hers.offer(other, 0, b"offer")
        await answer(alice, other, 0, b"greeting")
        assert await refusal_of(answer(alice, other, 1, b"answer")) == Code.DEVICE_UNKNOWN


async def take_in_background(person: Person, mailbox: bytes) -> None:
    """Open a mailbox as the one who shows the code does, and leave it open."""
    grant = await person.server.core.sessions.authenticate(person.token)
    links = person.server.core.links
    patient = links._wait_seconds
    links._wait_seconds = 0
    assert await links.take(grant, LinkTake(mailbox, 0, True)) == LinkMessage(None)
    links._wait_seconds = patient


async def test_messages_come_in_turn_and_stay_as_they_are(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        await take_in_background(alice, BOX)
        no_device = answer(alice, BOX, 1, b"answer")
        assert await refusal_of(no_device) == Code.USAGE_STATE
        assert await refusal_of(device.offer(BOX, 1, b"opening")) == Code.USAGE_STATE
        await device.offer(BOX, 0, b"offer")
        await device.offer(BOX, 0, b"offer")
        assert await refusal_of(device.offer(BOX, 0, b"other")) == Code.USAGE_STATE
        assert (await take(alice, BOX, 0)).message == b"offer"


async def test_waiting_ends_after_a_while(server: Server) -> None:
    (alice,) = await register(server, "alice")
    grant = await server.core.sessions.authenticate(alice.token)
    core = server.core
    links = LinkService(core.store, core.sessions, core.identity, core.clock, wait_seconds=0.01)
    assert await links.take(grant, LinkTake(BOX, 0, True)) == LinkMessage(None)
    async with open_socket(server, "/v1/login") as socket:
        device = NewDevice(server, socket)
        talk = LoginTalk("address")
        key, proof = device.key.public_key.to_bytes(), device.proof(BOX)
        await links.offer(talk, LinkOffer(BOX, key, proof, 0, b"offer", False))
        assert await links.wait(talk, LinkWait(BOX, key, proof, 0)) == LinkMessage(None)


async def test_a_server_on_its_way_out_lets_nobody_wait(config: Config) -> None:
    async with Server(config) as server:
        (alice,) = await register(server, "alice")
        waiting = await waiting_for_an_offer(alice)
    assert await refusal_of(waiting) == Code.SERVER_DRAINING


async def test_mailboxes_are_bounded(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from parlour.server import mailboxes

    monkeypatch.setattr(mailboxes, "MAX_BYTES", 2 * MAX_LINK_OFFER)
    monkeypatch.setattr(mailboxes, "MAX_MAILBOXES", MAX_BY_ADDRESS + MAX_BY_ACCOUNT)
    async with Server(replace(config, limits=1000.0)) as server:
        alice, bea = await register(server, "alice", "bea")
        async with open_socket(server, "/v1/login") as socket:
            device = NewDevice(server, socket)
            for number in range(MAX_BY_ADDRESS):
                await device.offer(number.to_bytes(16), 0, b"offer", opens=True)
            one_more = device.offer(os.urandom(16), 0, b"offer", opens=True)
            assert await refusal_of(one_more) == Code.LIMIT_COUNT
            for _ in range(MAX_BY_ACCOUNT):
                await take_in_background(alice, os.urandom(16))
            assert await refusal_of(take(alice, os.urandom(16), 0, opens=True)) == (
                Code.LIMIT_COUNT
            )
            assert await refusal_of(take(bea, os.urandom(16), 0, opens=True)) == Code.LIMIT_COUNT
            await device.offer((0).to_bytes(16), 1, bytes(MAX_LINK_OFFER))
            large = device.offer((1).to_bytes(16), 1, bytes(MAX_LINK_OFFER))
            assert await refusal_of(large) == Code.LIMIT_COUNT
            box = (2).to_bytes(16)
            await take(alice, box, 0)
            assert await refusal_of(answer(alice, box, 0, bytes(MAX_LINK_ANSWER))) == (
                Code.LIMIT_COUNT
            )


def test_what_identity_makes_fits_the_wire() -> None:
    from parlour.identity.link_messages import MAX_SNAPSHOT
    from parlour.identity.profile import MAX_SEALED
    from parlour.wire.limits import MAX_PROFILE

    assert MAX_SNAPSHOT + 1024 <= MAX_LINK_ANSWER
    assert MAX_SEALED <= MAX_PROFILE
