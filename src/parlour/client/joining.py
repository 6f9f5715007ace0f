"""A new device by a generated passphrase alone: where the account and its server allow that.

Name and passphrase bring everything; the server is known by what it shows, if nothing else is
known of it (`tls.Shown`). OPAQUE proves both sides to each other and names the server's key, so
that nobody in between can pass the login on; and only who holds the account's record comes to the
same end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.client import login, new_device
from parlour.client.account import Account
from parlour.client.arrival import Arrival
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.home import Home
from parlour.client.login import Channel, Target
from parlour.client.new_device import MadeDevice
from parlour.client.registration import home_folder, log_in_home
from parlour.client.set_up import SetUp
from parlour.client.tls import Authorities
from parlour.client.unlock import Unlocked, open_with
from parlour.client.workers import run_slow
from parlour.conversation.records import read_own
from parlour.errors import AccessError, AuthenticationError, Code, ParlourError, SecurityStop, error
from parlour.identity import proofs
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState, next_entry
from parlour.identity.vault import AccountSecret
from parlour.login import LoginProof, account_name
from parlour.primitives.random import system_random
from parlour.wire.ids import ID_SIZE
from parlour.wire.joining import Joinable, JoinFinish, JoinUnlock
from parlour.wire.kinds import Kind
from parlour.wire.login import LoggedIn
from parlour.wire.vaults import StoredVaults

# As often as another device may change the list between our reading and our writing.
TRIES: Final = 3


async def join_by_passphrase(
    folder: Path | str,
    place: Target,
    name: str,
    passphrase: str,
    *,
    keychain: str | None = None,
    device_name: str = "",
) -> None:
    """Make a home on a new device by name and passphrase. No other device is needed.

    The device enters the list; every other one is told at once. Messages from before come from
    other devices, or from a backup file. After a crash the same call goes on.

    Raises `LOGIN_FAILED` for a wrong name or passphrase, `PASSPHRASE_REFUSED` where the account's
    vault does not stand alone or the server allows none that does, `DEVICE_LIST_APPROVAL` where
    the account demands that an old device approves a new one, `SecurityStop` where what the server
    shows does not fit, and `TransportError`.
    """
    joining = _Joining(place, account_name(name), passphrase, device_name)
    set_up = SetUp(joining.finish, joining.make)
    await set_up.run(home_folder(folder), passphrase, keychain)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The account, opened on this connection for the device that is to be added."""

    channel: Channel
    proof: LoginProof
    unlocked: Unlocked
    state: DeviceListState


class _Joining:
    """One join, or what is left of it."""

    def __init__(self, place: Target, name: str, passphrase: str, device_name: str) -> None:
        self._place = place
        self._name = name
        self._passphrase = passphrase
        self._device_name = device_name
        # Whether what an earlier try has signed is worth nothing any more.
        self._overtaken = False

    async def finish(self, home: Home) -> bool:
        """Log in, if the server took the device in before the last try ended."""
        if read_own(await home.store.records()).name != self._name:
            raise error(Code.HOME_EXISTS, "an unfinished join of another account")
        try:
            await log_in_home(home, self._passphrase)
        except AccessError as problem:
            if problem.code is Code.LOGIN_BINDING:
                # The device is not on the list.
                return False
            raise
        return True

    async def make(self, home: Home) -> None:
        """Do all of it, once more where another device changed the list meanwhile."""
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                await self._make(home)
            except ParlourError as problem:
                if last or problem.code is not Code.DEVICE_LIST_CONFLICT:
                    raise
            else:
                return

    async def _make(self, home: Home) -> None:
        place, now = self._place, int(time.time())
        kept = await Arrival.kept(home)
        if kept is None or self._overtaken:
            # Whose device it is, is known only when it has proved the passphrase.
            device = await run_slow(new_device.make_device, system_random(ID_SIZE), now)
        else:
            device = kept.device
        async with await Connection.open(place.address, LOGIN_PATH, place.trust) as connection:
            channel = await login.greet(connection, place, self._name, now)
            opened = await self._open(connection, channel, device)
            arrival = self._arrival(opened, device, kept)
            await arrival.keep(home, self._name, self._account(opened))
            signed = proofs.join(
                server=channel.server,
                pin=channel.pin,
                name=channel.name,
                device_id=device.device_id,
                transcript=opened.proof.transcript,
            )
            request = JoinFinish(
                arrival.entry.encode(),
                arrival.device.uploaded,
                device.local.signature_key.sign(signed),
            )
            answer = await connection.ask(Kind.JOIN_FINISH, request, LoggedIn)
            login.check_ids(answer, opened.state.account_id, device.device_id)
        await arrival.finish(home, answer.token)

    def _arrival(self, opened: _Opened, device: MadeDevice, kept: Arrival | None) -> Arrival:
        """The device and its entry: what an earlier try has signed, or new ones."""
        state = opened.state
        if kept is not None and kept.is_next(state) == self._overtaken:
            # The passphrase was proved for the other device: once more.
            self._overtaken = not self._overtaken
            raise error(Code.DEVICE_LIST_CONFLICT)
        if kept is not None and not self._overtaken:
            return kept
        others = state.devices if kept is None else kept.others(state)
        device = device.of_account(state.account_id)
        return Arrival(device, self._entry(opened, others, device))

    async def _open(self, connection: Connection, channel: Channel, device: MadeDevice) -> _Opened:
        proof = await login.prove_password(connection, channel, self._passphrase, device.device_id)
        request = JoinUnlock(proof.ke3, proof.binding, device.device_id)
        answer = await connection.ask(Kind.JOIN_UNLOCK, request, Joinable)
        proof.confirm(answer.confirmation)
        stored = StoredVaults(answer.vault_number, answer.vault, None)
        nothing = AccountSecret(bytes(AccountSecret.SIZE))
        unlocked = open_with(proof.export_key, nothing, stored, answer.account_id)
        if not unlocked.lone:
            raise error(Code.PASSPHRASE_REFUSED)
        entry = DeviceListEntry.decode(answer.device_list_entry)
        _check(entry, answer, unlocked)
        return _Opened(channel, proof, unlocked, DeviceListState.after(entry))

    def _entry(
        self, opened: _Opened, others: tuple[Device, ...], device: MadeDevice
    ) -> DeviceListEntry:
        """The entry that adds the device. No old device is here to approve it."""
        state = opened.state
        listed = device.listed(opened.unlocked.secret, self._device_name)
        devices = (*others, listed)
        entry = next_entry(state, opened.unlocked.account_key, devices, device.made_at)
        if state.wants_approval(entry):
            raise SecurityStop(Code.DEVICE_LIST_APPROVAL, "link it with an old device")
        return entry

    def _account(self, opened: _Opened) -> Account:
        channel, place = opened.channel, self._place
        return Account(
            server=channel.server,
            host=place.address.host,
            port=place.address.port,
            pins=() if isinstance(place.trust, Authorities) else (channel.pin,),
            token="",
            secret=opened.unlocked.secret.reveal(),
            vaults=opened.unlocked.vaults.number,
        )


def _check(entry: DeviceListEntry, answer: Joinable, unlocked: Unlocked) -> None:
    """Return if the vault and the device list are of one account."""
    if entry.account_id != answer.account_id:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry is of another account")
    if entry.account_key != unlocked.account_key.public_key:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the vault holds another account key")
    try:
        entry.verify_signature()
    except AuthenticationError as problem:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "signature") from problem
