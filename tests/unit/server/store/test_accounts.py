"""Accounts, devices, tokens, invites: behaviour of any store."""

from __future__ import annotations

import asyncio

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.store import NewToken, Store
from parlour.server.store.records import DAY_MS, NewDevice
from parlour.wire.limits import MAX_PREKEYS_STORED
from parlour.wire.prekeys import PrekeyCounts
from parlour.wire.streams import CatchUp, Position

from .builders import (
    NOW,
    conversation,
    entry,
    new_account,
    new_device,
    prekey,
    someone,
    unique,
)


async def code_of(awaitable: object) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable  # type: ignore[misc]
    return raised.value.code


async def test_a_registration_is_there_whole(store: Store) -> None:
    new = new_account(prekeys=[prekey("signed", 1), prekey("one_time", 1)])
    await store.accounts.register(new, now=NOW)
    found = await store.accounts.by_name(new.name)
    assert found is not None
    assert found == await store.accounts.by_id(new.account_id)
    assert (found.record, found.vault) == (new.record, new.vault)
    device = await store.devices.find(new.device.device_id)
    assert device is not None
    assert (device.active, device.inbox) == (True, new.device.inbox)
    token = await store.tokens.find(new.token.hash)
    assert token is not None
    assert token.device_id == device.device_id
    assert await store.devices.list_page(new.account_id, 0, 10) == ([b"entry 0"], False)
    assert await store.prekeys.counts(device.device_id) == PrekeyCounts(1, 0)
    assert await store.accounts.by_name("nobody") is None


async def test_a_registration_that_fails_leaves_nothing(store: Store) -> None:
    first = new_account()
    await store.accounts.register(first, now=NOW)
    for clash in (
        new_account(name=first.name),
        new_account(account_id=first.account_id),
        new_account(device=first.device),
    ):
        assert await code_of(store.accounts.register(clash, now=NOW)) == Code.ACCOUNT_EXISTS
        assert await store.tokens.find(clash.token.hash) is None
    invite = unique()
    await store.invites.add(invite, uses=1, expires_at=NOW + 1, issuer=None)
    clash = new_account(name=first.name, invite=invite)
    assert await code_of(store.accounts.register(clash, now=NOW)) == Code.ACCOUNT_EXISTS
    assert await store.invites.usable(invite, now=NOW)


async def test_an_invite_is_used_as_often_as_it_says(store: Store) -> None:
    issuer = await someone(store)
    invite = unique()
    await store.invites.add(invite, uses=2, expires_at=NOW + 1, issuer=issuer.account)
    registrations = [store.accounts.register(new_account(invite=invite), now=NOW) for _ in range(5)]
    outcomes = await asyncio.gather(*registrations, return_exceptions=True)
    assert sum(each is None for each in outcomes) == 2
    assert not await store.invites.usable(invite, now=NOW)
    expired = unique()
    await store.invites.add(expired, uses=2, expires_at=NOW, issuer=None)
    late = store.accounts.register(new_account(invite=expired), now=NOW)
    assert await code_of(late) == Code.INVITE_INVALID


async def test_one_name_goes_to_one_of_many(store: Store) -> None:
    wanted = [new_account(name="wanted") for _ in range(10)]
    outcomes = await asyncio.gather(
        *(store.accounts.register(each, now=NOW) for each in wanted), return_exceptions=True
    )
    assert sum(each is None for each in outcomes) == 1


async def test_device_lists_grow_by_one_entry_at_a_time(store: Store) -> None:
    alice = await someone(store)
    tablet = new_device()
    device = await store.devices.find(alice.device)
    assert device is not None
    listed = [new_device_like(alice.device), tablet]
    append = store.devices.append_list
    for number in (0, 2):
        clash = append(alice.account, number, b"entry", listed, now=NOW)
        assert await code_of(clash) == Code.DEVICE_LIST_CONFLICT
    outcomes = await asyncio.gather(
        append(alice.account, 1, b"entry 1", listed, now=NOW),
        append(alice.account, 1, b"other 1", [], now=NOW),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], ParlourError)
    assert await store.devices.list_head(alice.account) == b"entry 1"
    assert await store.devices.list_page(alice.account, 0, 1) == ([b"entry 0"], True)
    added = await store.devices.find(tablet.device_id)
    assert added is not None
    assert added.inbox == tablet.inbox


async def test_a_device_of_somebody_else_can_not_be_listed(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    stolen = [new_device_like(alice.device), new_device_like(bea.device)]
    taking = store.devices.append_list(alice.account, 1, b"entry", stolen, now=NOW)
    assert await code_of(taking) == Code.DEVICE_LIST_INVALID
    assert await store.devices.list_head(alice.account) == b"entry 0"


async def test_a_removed_device_keeps_nothing(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    stream = await conversation(store, alice, bea)
    await store.prekeys.publish(alice.device, [prekey("one_time", 1), prekey("signed", 1)])
    await store.devices.exchange_ticket(alice.device, None, unique())
    await store.streams.append(bea.device, entry(stream, b"", alice.device), now=NOW)
    await store.streams.append(bea.device, entry(alice.inbox, b"", alice.device), now=NOW)
    change = await store.devices.append_list(alice.account, 1, b"entry 1", [new_device()], now=NOW)
    assert change.removed == (alice.device,)
    token = await store.tokens.find(alice.token)
    assert token is not None
    assert token.revoked
    assert not token.active
    for refused in (
        store.tokens.add(alice.device, NewToken(unique(), NOW, NOW)),
        store.prekeys.publish(alice.device, []),
        store.prekeys.counts(alice.device),
        store.devices.exchange_ticket(alice.device, None, unique()),
        store.streams.of_device(alice.device),
        store.streams.append(alice.device, entry(stream), now=NOW),
        store.streams.catch_up(alice.device, CatchUp([]), now=NOW),
        store.streams.acknowledge(alice.device, [Position(stream, 1)], now=NOW),
    ):
        assert await code_of(refused) == Code.DEVICE_REMOVED
    assert await store.prekeys.take(alice.account, [alice.device], now=NOW) == []
    refused = store.streams.append(bea.device, entry(stream, b"", alice.device), now=NOW)
    assert await code_of(refused) == Code.STREAM_PARTS


async def test_a_device_that_comes_back_begins_anew(store: Store) -> None:
    alice = await someone(store)
    await store.devices.exchange_ticket(alice.device, None, unique())
    other = new_device()
    await store.devices.append_list(alice.account, 1, b"1", [other], now=NOW)
    again = [other, new_device_like(alice.device)]
    await store.devices.append_list(alice.account, 2, b"2", again, now=NOW)
    device = await store.devices.find(alice.device)
    assert device is not None
    assert device.active
    assert device.inbox == alice.inbox
    token = await store.tokens.find(alice.token)
    assert token is not None
    assert token.revoked
    await store.devices.exchange_ticket(alice.device, None, unique())


def new_device_like(device_id: bytes) -> NewDevice:
    return NewDevice(device_id, b"signature key", unique())


async def test_tickets_let_one_holder_of_a_device_on(store: Store) -> None:
    alice = await someone(store)
    exchange = store.devices.exchange_ticket
    first, second, third = unique(), unique(), unique()
    await exchange(alice.device, None, first)
    await exchange(alice.device, None, first)  # the answer was lost
    await exchange(alice.device, first, second)
    await exchange(alice.device, first, second)
    for stale in (None, first, third):
        assert await code_of(exchange(alice.device, stale, third)) == Code.DEVICE_COPIED
    await exchange(alice.device, second, third)


async def test_a_store_that_has_forgotten_the_tickets_believes_whoever_comes_first(
    store: Store,
) -> None:
    alice = await someone(store)
    first, second = unique(), unique()
    await store.devices.exchange_ticket(alice.device, first, second)
    assert await code_of(store.devices.exchange_ticket(alice.device, first, unique())) == (
        Code.DEVICE_COPIED
    )


async def test_tokens_are_listed_touched_and_ended(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    second = NewToken(unique() * 2, NOW, NOW + DAY_MS)
    await store.tokens.add(alice.device, second)
    listed = await store.tokens.of_account(alice.account, now=NOW)
    assert [each.hash for each in listed] == [alice.token, second.hash]
    await store.tokens.touch(second.hash, last_used=NOW + 5, expires_at=NOW + 10)
    found = await store.tokens.find(second.hash)
    assert found is not None
    assert (found.last_used, found.expires_at) == (NOW + 5, NOW + 10)
    listed = await store.tokens.of_account(alice.account, now=NOW + 10)
    assert [each.hash for each in listed] == [alice.token]
    assert not await store.tokens.revoke(bea.account, alice.token, now=NOW)
    assert await store.tokens.revoke(alice.account, alice.token, now=NOW)
    assert not await store.tokens.revoke(alice.account, alice.token, now=NOW)
    assert await store.tokens.find(unique()) is None


async def test_prekeys_are_replaced_or_used_up(store: Store) -> None:
    alice = await someone(store)
    await store.prekeys.publish(
        alice.device,
        [
            prekey("signed", 1),
            prekey("kem_last_resort", 1),
            prekey("one_time", 1),
            prekey("one_time", 2, expires_at=NOW // 1000),
            prekey("kem_one_time", 1),
        ],
    )
    await store.prekeys.publish(
        alice.device, [prekey("signed", 2), prekey("kem_last_resort", 2), prekey("one_time", 1)]
    )
    taken = [
        (await store.prekeys.take(alice.account, [alice.device] * 2, now=NOW)) for _ in range(2)
    ]
    (first, left), (second, _) = taken[0][0], taken[1][0]
    assert len(taken[0]) == 1
    assert left == PrekeyCounts(1, 0)  # the expired one is left
    assert [first.signed.key_id, second.signed.key_id] == [2, 2]
    assert first.one_time is not None
    assert second.one_time is None
    assert first.kem is not None
    assert second.kem is not None
    assert [first.kem.kind, second.kem.kind] == ["kem_one_time", "kem_last_resort"]


async def test_the_last_one_time_prekey_goes_to_one_of_many(store: Store) -> None:
    alice = await someone(store)
    await store.prekeys.publish(
        alice.device, [prekey("signed", 1), prekey("one_time", 1), prekey("kem_one_time", 7)]
    )
    taken = await asyncio.gather(
        *(store.prekeys.take(alice.account, [alice.device], now=NOW) for _ in range(50))
    )
    assert sum(bundle.one_time is not None for [(bundle, _)] in taken) == 1
    assert sum(bundle.kem is not None for [(bundle, _)] in taken) == 1


async def test_a_bundle_needs_a_device_of_that_account_with_prekeys(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    await store.prekeys.publish(bea.device, [prekey("signed", 1)])
    devices = [alice.device, bea.device, unique()]
    assert await store.prekeys.take(alice.account, devices, now=NOW) == []


async def test_prekeys_of_a_device_are_bounded(store: Store) -> None:
    alice = await someone(store)
    keys = [prekey("one_time", number) for number in range(MAX_PREKEYS_STORED)]
    await store.prekeys.publish(alice.device, keys)
    more = [prekey("one_time", MAX_PREKEYS_STORED)]
    assert await code_of(store.prekeys.publish(alice.device, more)) == Code.LIMIT_COUNT
    counts = await store.prekeys.counts(alice.device)
    assert counts == PrekeyCounts(MAX_PREKEYS_STORED, 0)


async def test_contacts_are_who_shares_a_stream(store: Store) -> None:
    alice, bea, carl = [await someone(store) for _ in range(3)]
    await conversation(store, alice, bea)
    assert set(await store.accounts.contacts(alice.account)) == {alice.account, bea.account}
    assert await store.accounts.contacts(carl.account) == (carl.account,)
