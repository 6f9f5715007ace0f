"""`Client.recovery`: is there a recovery key, does the paper work, and another one in its place."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from parlour.client.own_list import Draft, ListEditor, Room
from parlour.client.recovery import Drilled, check_known, describe, prove_at
from parlour.client.unlock import Unlocked
from parlour.client.vaults import new_vaults
from parlour.errors import Code, ConflictError, error
from parlour.identity.device_list import DeviceListState, next_entry
from parlour.identity.recovery import RecoveryKey
from parlour.wire.vaults import NewVaults

# As often as another device may change the password between our reading and our writing.
TRIES: Final = 3


class RecoveryKeys:
    """What an open client does with its recovery key."""

    def __init__(self, room: Room, editor: ListEditor) -> None:
        self._room = room
        self._editor = editor

    @property
    def exists(self) -> bool:
        """Whether the account has a recovery key. Without one, a forgotten password loses it."""
        return self._room.contact.head.recovery_key is not None

    async def drill(self, key: RecoveryKey) -> Drilled:
        """`recovery.drill` for this account, compared with what this device knows of it.

        Raises also `DEVICE_LIST_ROLLBACK`, `VAULT_ROLLBACK` and `ACCOUNT_KEY_CHANGED`.
        """
        proved = await prove_at(self._room.account.target, self._room.own.name, key)
        check_known(proved, self._room.contact, self._room.account)
        return describe(proved)

    async def renew(self, password: str, key: RecoveryKey) -> None:
        """Make `key` the account's recovery key; an honest server takes the one before no more.

        Show the key to a person first, and let them say that it is written down. Made again with
        the same key, after a crash, the call finishes what is left. Raises what opening the vault
        raises, `DEVICE_LIST_CONFLICT` or `VAULT_CONFLICT` where other devices were quicker each
        time, and `TransportError`.
        """
        public_key = key.proof_key().public_key
        for _ in range(TRIES):
            unlocked = await self._room.unlock(password)
            vaults = self._vaults(unlocked, key)

            def make(
                state: DeviceListState, unlocked: Unlocked = unlocked, vaults: NewVaults = vaults
            ) -> Draft | None:
                if state.recovery_key == public_key:
                    return None
                entry = next_entry(
                    state,
                    unlocked.account_key,
                    state.devices,
                    int(time.time()),
                    recovery_key=public_key,
                )
                return Draft(entry, vaults=vaults)

            try:
                entry = await self._editor.append(make)
            except ConflictError as problem:
                if problem.code is not Code.VAULT_CONFLICT:
                    raise
            else:
                if entry is not None:
                    await self._room.seen_vaults(vaults.number)
                return
        raise error(Code.VAULT_CONFLICT, "each time it was tried; try again later")

    def _vaults(self, unlocked: Unlocked, key: RecoveryKey) -> NewVaults:
        """Both vaults under the same password, with the new key in one and the other under it."""
        content = replace(
            unlocked.content, recovery=key.vault_key(), number=unlocked.content.number + 1
        )
        return new_vaults(
            content,
            unlocked.secret,
            server=self._room.account.server,
            account_id=self._room.own.account_id,
            export_key=unlocked.export_key,
            lone=unlocked.lone,
        )
