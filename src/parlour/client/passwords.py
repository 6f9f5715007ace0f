"""Change the password: of the account, which the server must agree to, then of this home.

Both vaults are sealed anew under a new archive key, and change on the server in one step with the
password's record. The home follows the server: it is wrapped under the new password only when the
server has the new one. So a crash leaves one of three states, and the same call made again tells
them apart and goes on: nothing happened; the account has the new password and this home still opens
with the old one; or all is done. On the account's other devices the second of these is the normal
one: what opens their homes is theirs, and the next `change` there brings both together again.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from parlour.client import vault_file
from parlour.client.home import Home, new_lock
from parlour.client.login import stretched_for
from parlour.client.own_list import Draft, ListEditor, Room
from parlour.client.unlock import Unlocked
from parlour.client.vaults import new_vaults, sign_record
from parlour.client.workers import run_slow
from parlour.errors import AccessError, Code, ParlourError, UsageError, error
from parlour.identity.device_list import DeviceListEntry, DeviceListState, next_entry
from parlour.identity.passphrase import Passphrase
from parlour.identity.vault import ArchiveKey
from parlour.login import ClientRegistration, Registration
from parlour.primitives.random import system_random
from parlour.wire.kinds import Kind
from parlour.wire.login import RegisterChallenge
from parlour.wire.server import Nothing, ServerInfo
from parlour.wire.vaults import PasswordFinish, PasswordStart

# As often as another device may change the account between our reading and our writing.
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Change:
    """What is wanted of one change."""

    password: str = field(repr=False)
    end_sessions: bool
    remove: frozenset[bytes]
    lone: bool


class Passwords:
    """What an open client does with its password."""

    def __init__(self, home: Home, room: Room, editor: ListEditor) -> None:
        self._home = home
        self._room = room
        self._editor = editor

    async def change(
        self,
        password: str,
        new_password: str | Passphrase,
        *,
        account_password: str | None = None,
        lone: bool = False,
        end_sessions: bool = False,
        remove: Collection[bytes] = (),
    ) -> None:
        """Change the account's password and this home's.

        `password` opens this home; `account_password` is the account's, where that is another one.
        `end_sessions` logs out every other device; `remove` are ids of devices that leave the list
        in the same step, as after a theft. With `lone`, the new one must be a `Passphrase`, and
        the vault opens with it alone, where the server allows that.

        Made again after a crash or a cut, the same call finishes what is left. Raises
        `STORE_PASSWORD` and `LOGIN_FAILED` for wrong passwords, `VAULT_CONFLICT` where another
        device has changed the password meanwhile, `PASSPHRASE_REFUSED`, `SecurityStop`, and
        `TransportError`, after which it may have happened.
        """
        if lone and not isinstance(new_password, Passphrase):
            raise UsageError(Code.USAGE_INVALID, "only a generated passphrase stands alone")
        if self._room.engine.machine.device_id in remove:
            raise UsageError(Code.USAGE_INVALID, "a device does not remove itself")
        new = text_of(new_password)
        wrapped = await self._is_wrapped(password, new)
        if lone:
            await self._check_lone()
        change = _Change(new, end_sessions=end_sessions, remove=frozenset(remove), lone=lone)
        await self._change_account(account_password or password, change)
        if not wrapped:
            await self._home.change_lock(new_lock(new), password=password)

    async def _is_wrapped(self, password: str, new: str) -> bool:
        """Whether this home needs no other lock; raises where neither password opens it."""
        folder = self._home.folder
        if await Home.keychain_of(folder) is not None:
            return True
        if await opens(folder, password):
            return password == new
        await run_slow(vault_file.unwrap, folder, new)
        return True

    async def _check_lone(self) -> None:
        info = await self._room.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
        if not info.lone_vaults:
            raise error(Code.PASSPHRASE_REFUSED)

    async def _change_account(self, password: str, change: _Change) -> None:
        conflict: ParlourError | None = None
        for _ in range(TRIES):
            try:
                # What was signed before may bring other vaults, which are changed here.
                await self._editor.resend()
                unlocked = await self._unlock(password, change)
                if unlocked is not None:
                    await self._change_once(unlocked, change)
                return
            except ParlourError as problem:
                if problem.code is Code.LOGIN_FAILED and conflict is not None:
                    # What another device has just changed was the password.
                    raise conflict from None
                if problem.code not in (Code.VAULT_CONFLICT, Code.DEVICE_LIST_CONFLICT):
                    raise
                conflict = problem
        raise error(Code.VAULT_CONFLICT, "each time it was tried; try again later")

    async def _unlock(self, password: str, change: _Change) -> Unlocked | None:
        """Open the vault; None where the account has the new password and nothing is left to do."""
        try:
            return await self._room.unlock(password)
        except ParlourError as problem:
            if problem.code is not Code.LOGIN_FAILED or password == change.password:
                raise
            refused = problem
        try:
            unlocked = await self._room.unlock(change.password)
        except ParlourError as problem:
            if problem.code is Code.LOGIN_FAILED:
                raise refused from None
            raise
        listed = {device.device_id for device in (await self._editor.newest()).devices}
        return unlocked if change.remove & listed else None

    async def _change_once(self, unlocked: Unlocked, change: _Change) -> None:
        async with self._editor.lock:
            entry = await self._editor.prepare(lambda state: _without(state, unlocked, change))
            await self._change_with(entry, unlocked, change)

    async def _change_with(
        self, entry: DeviceListEntry | None, unlocked: Unlocked, change: _Change
    ) -> None:
        """Change record and vaults in one step, and the device list where there is an entry."""
        own, server = self._room.own, self._room.account.server
        registration = await self._register(change.password)
        content = replace(
            unlocked.content,
            archive_key=ArchiveKey.generate(system_random),
            number=unlocked.content.number + 1,
        )
        finish = PasswordFinish(
            upload=registration.upload,
            record_signature=sign_record(
                content.account_key,
                server=server,
                name=own.name,
                account_id=own.account_id,
                upload=registration.upload,
            ),
            vaults=new_vaults(
                content,
                unlocked.secret,
                server=server,
                account_id=own.account_id,
                export_key=registration.export_key,
                lone=change.lone,
            ),
            end_sessions=change.end_sessions,
            device_list_entry=None if entry is None else entry.encode(),
        )
        await self._room.link.ask(Kind.PASSWORD_FINISH, finish, Nothing)
        await self._room.seen_vaults(content.number)
        if entry is not None:
            await self._editor.taken_in(entry)

    async def _register(self, password: str) -> Registration:
        room = self._room
        stretched = await stretched_for(room.account.server, room.own.name, password)
        state, request = await run_slow(ClientRegistration.start, stretched)
        challenge = await room.ask(Kind.PASSWORD_START, PasswordStart(request), RegisterChallenge)
        return await run_slow(state.finish, challenge.response)


def _without(state: DeviceListState, unlocked: Unlocked, change: _Change) -> Draft | None:
    """The entry that removes devices, if any of them is there."""
    stay = tuple(device for device in state.devices if device.device_id not in change.remove)
    if len(stay) == len(state.devices):
        return None
    return Draft(next_entry(state, unlocked.account_key, stay, int(time.time())))


async def opens(folder: Path, password: str) -> bool:
    """Whether a password opens a home that no keychain opens."""
    try:
        await run_slow(vault_file.unwrap, folder, password)
    except AccessError:
        return False
    return True


def text_of(password: str | Passphrase) -> str:
    """A password as it is typed."""
    return password.reveal() if isinstance(password, Passphrase) else password
