"""From an invite to a home with an account in it, and a new login for a home that has one.

Everything that the account stands on is on this disk before the server makes it: a crash in
between leaves a home that a second `register` finishes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from parlour.client import login
from parlour.client.account import Account
from parlour.client.address import Address
from parlour.client.home import Home, KeychainLock, PasswordLock
from parlour.client.tls import Authorities, Pinned
from parlour.client.workers import run_slow
from parlour.conversation.changes import Change, DeleteRecord, Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.state import OwnDevice, first_changes, read_own
from parlour.conversation.upkeep import first_upload
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.errors import AccessError, Code, ParlourError, error
from parlour.identity.device_list import Device
from parlour.identity.invite import Invite
from parlour.login import account_name
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.ids import ID_SIZE
from parlour.wire.prekeys import Prekey

# What a server answers instead of making the account.
_REFUSALS: Final = frozenset(
    {Code.ACCOUNT_EXISTS, Code.INVITE_INVALID, Code.INVITE_REQUIRED, Code.LOGIN_EXPIRED}
)


def home_folder(folder: Path | str) -> Path:
    """The folder of a home, with a leading ``~`` replaced."""
    return Path(folder).expanduser()


async def register(
    folder: Path | str,
    invite: Invite | str,
    name: str,
    password: str,
    *,
    keychain: str | None = None,
) -> None:
    """Make an account on the invite's server, and a home for it in `folder`.

    The home opens with the password, or with the `keychain` of that name. After a crash, or a cut
    at the wrong moment, the same call goes on where the last one ended. Where the server refuses,
    no home is left.
    """
    if isinstance(invite, str):
        invite = Invite.from_text(invite)
    path = home_folder(folder)
    home = await _unfinished(path, password)
    if home is None:
        lock = PasswordLock(password) if keychain is None else KeychainLock(keychain)
        home = await Home.create(path, lock)
    elif await _finish(home, name, password):
        return
    await _make_account(home, invite, name, password)


async def _unfinished(path: Path, password: str) -> Home | None:
    """The home that an interrupted registration left; refuses one that is in use."""
    try:
        home = await Home.open(path, password)
    except ParlourError as problem:
        if problem.code is Code.HOME_MISSING:
            return None
        raise
    try:
        records = await home.store.records()
        in_use = bool(records[Namespace.DEVICE] and Account.load(records).token)
    except BaseException:
        await home.close()
        raise
    if in_use:
        await home.close()
        raise error(Code.HOME_EXISTS)
    return home


async def _finish(home: Home, name: str, password: str) -> bool:
    """Log in, if the server made the account before the last try ended. Ends `home` if it did."""
    try:
        finished = await _log_in_if_made(home, name, password)
    except BaseException:
        await home.close()
        raise
    if finished:
        await home.close()
    return finished


async def _log_in_if_made(home: Home, name: str, password: str) -> bool:
    records = await home.store.records()
    if not records[Namespace.DEVICE]:
        return False
    if read_own(records).name != account_name(name):
        raise error(Code.HOME_EXISTS, "an unfinished registration of another name")
    try:
        await _log_in(home, password)
    except AccessError as problem:
        if problem.code is Code.LOGIN_FAILED:
            # The server never made it. Or the password is not that one: then the name is taken,
            # and what is here stays.
            return False
        raise
    return True


async def _make_account(home: Home, invite: Invite, name: str, password: str) -> None:
    before = (await home.store.records())[Namespace.DEVICE]
    try:
        await _register(home, invite, name, password)
    except BaseException as problem:
        await _leave(home, before, problem)
        raise
    await home.close()


async def _leave(home: Home, before: Mapping[bytes, bytes], problem: BaseException) -> None:
    """Keep the home if an account may stand on it, else leave nothing.

    The server may have made the account unless it was never told to, or said no.
    """
    refused = isinstance(problem, ParlourError) and problem.code in _REFUSALS
    try:
        now = (await home.store.records())[Namespace.DEVICE]
    except ParlourError:
        await home.close()
        return
    if now and (now == before or not refused):
        await home.close()
    else:
        await home.discard()


async def _register(home: Home, invite: Invite, name: str, password: str) -> None:
    now = int(time.time())
    local, prekeys, uploaded = await run_slow(_make_device, now)
    identity = local.identity
    listed = Device(
        identity.signature_key, identity.identity_key, has_kem=identity.has_kem, added_at=now
    )
    address = Address(invite.host, invite.port)
    trust = Authorities() if invite.pin is None else Pinned.of([invite.pin])

    async def keep(new: login.NewAccount) -> None:
        records = await home.store.records()
        # Of a registration that the server never heard of.
        old = [DeleteRecord(space, key) for space in records for key in records[space]]
        first = _first_records(new, local, prekeys, address, pinned=invite.pin is not None)
        await home.store.apply([*old, *first])

    registered = await login.register(
        login.Target(address, trust, invite.server),
        name=name,
        password=password,
        device=login.NewDevice(identity.account_id, listed, local.signature_key, uploaded),
        keep=keep,
        now=now,
        invite=invite.secret,
    )
    account = Account.load(await home.store.records())
    await home.store.apply([replace(account, token=registered.token.text()).change()])


def _make_device(now: int) -> tuple[LocalDevice, PrekeyStore, list[Prekey]]:
    """Make the device's keys and its first 200 prekeys."""
    local = LocalDevice.generate(system_random(ID_SIZE), system_random)
    prekeys = PrekeyStore.create(local, now, system_random)
    upload, uploaded = first_upload(prekeys)
    prekeys.mark_published(upload)
    return local, prekeys, uploaded


def _first_records(
    new: login.NewAccount,
    local: LocalDevice,
    prekeys: PrekeyStore,
    address: Address,
    *,
    pinned: bool,
) -> list[Change]:
    own = OwnDevice(
        server=new.server.name,
        name=new.name,
        account_id=new.account_id,
        signature_key=local.signature_key.to_bytes(),
        identity_key=local.identity_key.to_bytes(),
    )
    account = Account(
        server=new.server.name,
        host=address.host,
        port=address.port,
        pins=(new.channel_pin,) if pinned else (),
        token="",
        secret=new.account_secret.reveal(),
    )
    contact = Contact(name=new.name, head=new.device_list_entry)
    return [*first_changes(own, contact, prekeys), account.change()]


async def log_in(folder: Path | str, password: str) -> None:
    """Log the device of a home in again: after its login was ended, or never finished.

    Nothing that the home holds is lost by it, and what was queued goes out afterwards.
    """
    home = await Home.open(home_folder(folder), password)
    try:
        await _log_in(home, password)
    finally:
        await home.close()


async def _log_in(home: Home, password: str) -> None:
    records = await home.store.records()
    account = Account.load(records)
    own = read_own(records)
    result = await login.log_in(
        account.target,
        name=own.name,
        password=password,
        device_key=Ed25519PrivateKey(own.signature_key),
        now=int(time.time()),
        account_id=own.account_id,
    )
    await home.store.apply([replace(account, token=result.token.text()).change()])
