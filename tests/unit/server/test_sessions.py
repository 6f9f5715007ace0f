"""Tokens and grants: what is remembered is ended all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.sessions import Grant, SessionService
from parlour.server.store import Store, TokenRecord
from parlour.server.store.sqlite import SqliteStore

from .store.builders import NAME, NOW, new_account, new_device


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path, name=NAME)
    yield opened
    await opened.close()


async def logged_in(store: Store, sessions: SessionService) -> tuple[str, bytes, bytes]:
    """A token with its account and device."""
    token, stored = sessions.make()
    new = new_account(token=stored)
    await store.accounts.register(new, now=NOW)
    return token, new.account_id, new.device.device_id


async def code_of(awaitable: object) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable  # type: ignore[misc]
    return raised.value.code


async def test_a_token_has_one_grant(store: Store) -> None:
    sessions = SessionService(store, lambda: NOW)
    token, account, device = await logged_in(store, sessions)
    grants = await asyncio.gather(*(sessions.authenticate(token) for _ in range(5)))
    assert all(each is grants[0] for each in grants)
    assert (grants[0].account_id, grants[0].device_id) == (account, device)


async def test_what_looks_like_no_token_reads_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = SessionService(store, lambda: NOW)
    monkeypatch.setattr(store.tokens, "find", None)
    token, _ = sessions.make()
    for wrong in ("x", token[:-1], token + "A", "xxx_" + token[4:], "plt_" + "é" * 43):
        assert await code_of(sessions.authenticate(wrong)) == Code.TOKEN_INVALID
    for missing in (None, ""):
        assert await code_of(sessions.authenticate(missing)) == Code.TOKEN_MISSING


async def test_what_ends_during_a_look_up_is_not_let_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was read before the token was ended, the answer comes after."""
    sessions = SessionService(store, lambda: NOW)
    token, account, device = await logged_in(store, sessions)
    find = store.tokens.find
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow_find(token_hash: bytes) -> TokenRecord | None:
        record = await find(token_hash)
        read.set()
        await go_on.wait()
        return record

    monkeypatch.setattr(store.tokens, "find", slow_find)
    looking = asyncio.create_task(sessions.authenticate(token))
    await read.wait()
    change = await store.devices.append_list(account, 1, b"1", [new_device()], now=NOW)
    assert change.removed == (device,)
    sessions.remove_devices(change.removed)
    go_on.set()
    assert await code_of(looking) == Code.DEVICE_REMOVED


async def test_an_ended_grant_is_told_to_who_holds_it(store: Store) -> None:
    sessions = SessionService(store, lambda: NOW)
    ended: list[Grant] = []
    sessions.on_refused = ended.append
    token, *_ = await logged_in(store, sessions)
    grant = await sessions.authenticate(token)
    await sessions.log_out(grant)
    assert ended == [grant]
    assert await code_of(sessions.check(grant)) == Code.TOKEN_REVOKED
    assert await code_of(sessions.authenticate(token)) == Code.TOKEN_REVOKED
    await sessions.log_out(grant)
    assert ended == [grant]


async def test_few_grants_are_remembered_and_all_that_are_held_are_reached(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.server.sessions._REMEMBERED", 1)
    sessions = SessionService(store, lambda: NOW)
    tokens = [await logged_in(store, sessions) for _ in range(3)]
    held = [await sessions.authenticate(token) for token, *_ in tokens]
    assert len(sessions._recent) == 1
    assert await sessions.authenticate(tokens[0][0]) is held[0]
    sessions.remove_devices([device for *_, device in tokens])
    assert [each.refused for each in held] == [Code.DEVICE_REMOVED] * 3


async def test_use_is_written_once_a_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW]
    sessions = SessionService(store, lambda: now[0])
    token, *_ = await logged_in(store, sessions)
    commits = store.database.writer  # type: ignore[attr-defined]
    before = commits.commits
    for _ in range(10):
        await sessions.authenticate(token)
        now[0] += 1000
    assert commits.commits == before
    now[0] += 24 * 60 * 60 * 1000
    for _ in range(10):
        await sessions.authenticate(token)
    await asyncio.gather(*sessions._touching)
    assert commits.commits == before + 1
