"""The recovery key at work: drill, recover on a new device, set a new password on an old one.

All of it is one talk on the login socket. The key signs what the server asks it to, together with
the server's name and the key of this channel; the server hands out the second copy of the vault,
which the recovery key alone opens; and what is in it has to fit the signed device list.

Where only host and port of the server are known, as after a fire, its key is taken as it is shown
(`tls.Shown`). Somebody in between gains nothing by that. The proof names the key that *they* show,
so the true server refuses it, and without the true server they have no vault that the recovery key
opens, and can't make one. When the vault has opened, who is there holds the account's data: that
server's key is the one that the new home pins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.client import login, new_device
from parlour.client.account import Account
from parlour.client.address import Address
from parlour.client.arrival import Arrival, listed_in
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.home import Home, new_lock
from parlour.client.login import Target
from parlour.client.recovery_talk import Proved, Reset, prove
from parlour.client.registration import home_folder, log_in_home, logged_in
from parlour.client.set_up import SetUp
from parlour.client.tls import Authorities, Shown
from parlour.client.workers import run_slow
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.records import read_own
from parlour.errors import AccessError, Code, ParlourError, SecurityStop, error
from parlour.identity.device_list import DeviceListEntry, next_entry
from parlour.identity.device_name import open_device_name
from parlour.identity.recovery import RecoveryKey
from parlour.login import account_name
from parlour.primitives.signature import Ed25519PrivateKey

# As often as another device may change the account between our reading and our writing.
TRIES: Final = 3


def place_at(text: str) -> Target:
    """A server of which ``HOST:PORT`` is all that is known."""
    return Target(Address.parse(text), Shown())


# --- Drill ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrilledDevice:
    """A device as the drill found it; `name` where it has one, `added_at` in seconds."""

    device_id: bytes
    name: str | None
    added_at: int


@dataclass(frozen=True, slots=True)
class Drilled:
    """What the recovery key would bring back. `pin` is the key that the server has shown."""

    account: str
    account_id: bytes
    pin: bytes
    devices: tuple[DrilledDevice, ...]
    needs_approval: bool


async def drill(place: Target, name: str, key: RecoveryKey) -> Drilled:
    """Go the way of a recovery up to where it would change something.

    Raises `RECOVERY_FAILED` for a wrong name or key, which a server does not tell apart;
    `SecurityStop` where what the server shows does not fit the recovery key; `TransportError`.
    """
    return describe(await prove_at(place, name, key))


async def prove_at(place: Target, name: str, key: RecoveryKey) -> Proved:
    """Prove the recovery key and check what it opens; raises what `drill` raises."""
    name, now = account_name(name), int(time.time())
    async with await Connection.open(place.address, LOGIN_PATH, place.trust) as connection:
        return await prove(connection, await login.greet(connection, place, name, now), key)


def describe(proved: Proved) -> Drilled:
    """What a proved key would bring back, without anything secret."""
    state, channel = proved.state, proved.channel
    devices = (
        DrilledDevice(
            device.device_id,
            open_device_name(
                device.sealed_name,
                secret=proved.recovered.secret,
                account_id=state.account_id,
                device_id=device.device_id,
            ),
            device.added_at,
        )
        for device in state.devices
    )
    return Drilled(
        account=f"{channel.name}@{channel.server}",
        account_id=state.account_id,
        pin=channel.pin,
        devices=tuple(devices),
        needs_approval=state.needs_approval,
    )


# --- Recover -------------------------------------------------------------------------------


async def recover(
    folder: Path | str,
    place: Target,
    name: str,
    key: RecoveryKey,
    new_password: str,
    *,
    keychain: str | None = None,
    remove_others: bool = False,
    device_name: str = "",
) -> None:
    """Make a home on a new device with nothing but the recovery key, and set a new password.

    The device enters the list, approved by the recovery key where that is demanded. With
    `remove_others` all other devices leave it in the same step, and every session ends: after a
    fire or a theft. Without it they stay, and stay logged in.

    What it costs: messages lie on devices, so none of those come back that no other device, and no
    backup file, holds. An honest server takes the old password and the old vaults no more; the
    recovery key stays good.

    After a crash the same call goes on where the last one ended. Raises what `drill` raises, and
    `HOME_EXISTS` or `STORE_PASSWORD` for a folder that holds something else.
    """
    recovering = _Recovering(
        place, account_name(name), key, new_password, device_name, remove_others=remove_others
    )
    set_up = SetUp(recovering.finish, recovering.make)
    await set_up.run(home_folder(folder), new_password, keychain)


class _Recovering:
    """One recovery onto a new device."""

    def __init__(
        self,
        place: Target,
        name: str,
        key: RecoveryKey,
        password: str,
        device_name: str,
        *,
        remove_others: bool,
    ) -> None:
        self._place = place
        self._name = name
        self._key = key
        self._password = password
        self._device_name = device_name
        self._remove_others = remove_others

    async def finish(self, home: Home) -> bool:
        """Log in, if the server took the device before the last try ended."""
        records = await home.store.records()
        if read_own(records).name != self._name:
            raise error(Code.HOME_EXISTS, "an unfinished recovery of another account")
        if not self._is_whole(listed_in(records)):
            return False
        try:
            await log_in_home(home, self._password)
        except AccessError as problem:
            # The password is not set yet; or it was that one before, and the device is not there.
            if problem.code in (Code.LOGIN_FAILED, Code.LOGIN_BINDING):
                return False
            raise
        return True

    def _is_whole(self, entry: DeviceListEntry) -> bool:
        """Whether an entry says all that is wanted: an earlier try may have wanted less."""
        return not self._remove_others or len(entry.devices) == 1

    async def make(self, home: Home) -> None:
        """Do all of it, once more where another device changed the account meanwhile."""
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                await self._make(home)
            except ParlourError as problem:
                if last or not _is_conflict(problem):
                    raise
            else:
                return

    async def _make(self, home: Home) -> None:
        place, now = self._place, int(time.time())
        async with await Connection.open(place.address, LOGIN_PATH, place.trust) as connection:
            channel = await login.greet(connection, place, self._name, now)
            proved = await prove(connection, channel, self._key)
            arrival = await self._arrival(home, proved, now)
            reset = await Reset.start(connection, proved, self._password)
            account = Account(
                server=channel.server,
                host=place.address.host,
                port=place.address.port,
                pins=() if isinstance(place.trust, Authorities) else (channel.pin,),
                token="",
                secret=proved.recovered.secret.reveal(),
                vaults=proved.next_number,
            )
            await arrival.keep(home, self._name, account)
            token = await reset.finish(
                arrival.device.local.signature_key,
                entry=arrival.entry,
                prekeys=arrival.device.uploaded,
                end_sessions=self._remove_others,
            )
        if not self._is_whole(arrival.entry):
            raise error(Code.DEVICE_LIST_CONFLICT, "others were left by an earlier try")
        await arrival.finish(home, token)

    async def _arrival(self, home: Home, proved: Proved, now: int) -> Arrival:
        """The device and its entry: what an earlier try has signed, or new ones."""
        state, kept = proved.state, await Arrival.kept(home)
        if kept is not None and kept.is_next(state):
            return kept
        others = state.devices if kept is None else kept.others(state)
        device = await run_slow(new_device.make_device, state.account_id, now)
        listed = device.listed(proved.recovered.secret, self._device_name)
        stay = () if self._remove_others else others
        entry = next_entry(state, proved.account_key, (*stay, listed), now)
        if state.wants_approval(entry):
            entry = entry.approve(self._key.proof_key())
        return Arrival(device, entry)


# --- A new password for a home that opens --------------------------------------------------


async def reset_password(
    folder: Path | str,
    key: RecoveryKey,
    new_password: str,
    *,
    home_password: str | None = None,
    end_sessions: bool = False,
) -> None:
    """Set a new password for the account of a home that opens: the device stays what it is.

    A home opens where a keychain holds its key, or where its own password is remembered and the
    account's is not, which another device has changed. Nothing is lost, and the home opens with
    the new password afterwards. A home that is locked by the forgotten password stays locked: its
    keys and messages need that password. Then `home.move_aside` keeps it, and `recover` makes a
    new device in its place.

    Doing it twice does no harm, as after a crash. Raises `STORE_PASSWORD` for a locked home,
    `DEVICE_REMOVED` where this device is not on the list any more, `DEVICE_LIST_ROLLBACK` or
    `VAULT_ROLLBACK` where the server shows less than this home has seen, and what `drill` raises.
    """
    path = home_folder(folder)
    home = await Home.open(path, home_password)
    try:
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                token, number = await _reset_home(home, key, new_password, end_sessions)
                break
            except ParlourError as problem:
                if last or not _is_conflict(problem):
                    raise
        await logged_in(home, token, vaults=number)
        if await Home.keychain_of(path) is None:
            await home.change_lock(new_lock(new_password), password=home_password)
    finally:
        await home.close()


async def _reset_home(
    home: Home, key: RecoveryKey, password: str, end_sessions: bool
) -> tuple[str, int]:
    records = await home.store.records()
    account, own = Account.load(records), read_own(records)
    known = Contact.decode(records[Namespace.CONTACT][own.account_id])
    place, now = account.target, int(time.time())
    async with await Connection.open(place.address, LOGIN_PATH, place.trust) as connection:
        channel = await login.greet(connection, place, own.name, now)
        proved = await prove(connection, channel, key)
        check_known(proved, known, account)
        device_key = Ed25519PrivateKey(own.signature_key)
        if proved.state.device(own.local().identity.device_id) is None:
            raise error(Code.DEVICE_REMOVED)
        reset = await Reset.start(connection, proved, password)
        token = await reset.finish(device_key, end_sessions=end_sessions)
    return token, proved.next_number


def check_known(proved: Proved, known: Contact, account: Account) -> None:
    """A home remembers what a paper can't: how far the account had come.

    Raises `ACCOUNT_KEY_CHANGED`, `DEVICE_LIST_ROLLBACK`, `VAULT_ROLLBACK`.
    """
    if proved.state.account_key != known.head.account_key:
        raise SecurityStop(Code.ACCOUNT_KEY_CHANGED, "that of our own account, by the server")
    if proved.state.number < known.head.number:
        raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, f"entry {proved.state.number} is the last")
    if proved.number < account.vaults:
        raise SecurityStop(Code.VAULT_ROLLBACK, f"number {proved.number}")


def _is_conflict(problem: ParlourError) -> bool:
    """Whether another device was quicker, so that the next try starts from what it made."""
    return problem.code in (Code.DEVICE_LIST_CONFLICT, Code.VAULT_CONFLICT)
