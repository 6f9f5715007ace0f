"""Changes of an account: its device list, password and vaults. Checked here, then made at once.

All of them are signed by the account key, which no token gives: who stole a session changes none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from parlour.errors import Code, ConflictError, LimitError, NotFoundError, SecurityStop, UsageError
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.login import OpaqueServer
from parlour.server.clock import Clock
from parlour.server.hub import Hub
from parlour.server.identity import ServerIdentity
from parlour.server.sessions import Grant, SessionService
from parlour.server.store import AccountRecord, Store
from parlour.server.store.records import AccountChange, NewDevice, NewList
from parlour.wire.directory import AppendDeviceList, DevicePrekeys
from parlour.wire.kinds import Kind
from parlour.wire.login import RegisterChallenge
from parlour.wire.push import PushDeviceList
from parlour.wire.server import Nothing
from parlour.wire.vaults import NewVaults, PasswordFinish, PasswordStart, StoredVaults

# Entries of one device list, each about half a kilobyte, which every newcomer to a conversation
# reads from the first on. At the most that a day takes (`limits`), it is full after months.
MAX_LIST_ENTRIES: Final = 5_000


class AccountService:
    """Checks and makes changes of accounts."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        sessions: SessionService,
        opaque: OpaqueServer,
        identity: ServerIdentity,
        clock: Clock,
    ) -> None:
        self._store = store
        self._hub = hub
        self._sessions = sessions
        self._opaque = opaque
        self._identity = identity
        self._clock = clock

    # --- what a device with a token may do ---------------------------------------------------

    async def append_list(self, grant: Grant, request: AppendDeviceList) -> Nothing:
        """Append an entry that the account key signed; devices that left it are out at once."""
        state = await self.state(grant.account_id)
        following, new_list = self.check_list(state, request.entry, request.prekeys or ())
        if request.vaults is not None:
            self.check_vaults(following, request.vaults)
        elif following.recovery_key != state.recovery_key:
            raise UsageError(Code.USAGE_INVALID, "another recovery key needs new vaults")
        change = AccountChange(device_list=new_list, vaults=request.vaults)
        await self.make(grant.account_id, change)
        return Nothing()

    async def read_vault(self, grant: Grant) -> StoredVaults:
        """Both vaults; neither opens here, or for who has a token and nothing else."""
        account = await self.account(grant.account_id)
        return StoredVaults(account.vault_number, account.vault, account.recovery_vault)

    async def password_start(self, grant: Grant, request: PasswordStart) -> RegisterChallenge:
        """Answer OPAQUE's request; what is registered counts only once it is signed."""
        account = await self.account(grant.account_id)
        return RegisterChallenge(self._opaque.register(request.request, account.name))

    async def password_finish(self, grant: Grant, request: PasswordFinish) -> Nothing:
        """Replace record and vaults, and perhaps the device list, in one step."""
        account = await self.account(grant.account_id)
        following = state = await self.state(grant.account_id)
        new_list = None
        if request.device_list_entry is not None:
            following, new_list = self.check_list(state, request.device_list_entry, ())
        change = AccountChange(
            record=self.check_record(state, account.name, request.upload, request.record_signature),
            vaults=self.check_vaults(following, request.vaults),
            device_list=new_list,
            end_sessions=request.end_sessions,
            keep_session=grant.token_hash,
        )
        await self.make(grant.account_id, change)
        return Nothing()

    # --- what every change goes through ------------------------------------------------------

    async def account(self, account_id: bytes) -> AccountRecord:
        """The account; raises ``account.unknown``."""
        account = await self._store.accounts.by_id(account_id)
        if account is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        return account

    async def state(self, account_id: bytes) -> DeviceListState:
        """The account's device list now; raises ``account.unknown``."""
        head = await self._store.devices.list_head(account_id)
        if head is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        return DeviceListState.after(DeviceListEntry.decode(head))

    def check_list(
        self, state: DeviceListState, data: bytes, prekeys: Iterable[DevicePrekeys]
    ) -> tuple[DeviceListState, NewList]:
        """Verify the entry that follows `state`, by the rules that every client has as well.

        Prekeys are taken for devices that the entry adds: nobody publishes those of another.
        """
        entry = DeviceListEntry.decode(data)
        if state.number + 1 >= MAX_LIST_ENTRIES:
            raise LimitError(Code.LIMIT_COUNT, "entries of a device list")
        if entry.account_id != state.account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry is of another account")
        if entry.number != state.number + 1:
            raise ConflictError(Code.DEVICE_LIST_CONFLICT)
        try:
            following = state.extend(entry)
        except SecurityStop as stop:
            # Most codes warn a client of its server; a server has nobody to be warned of.
            if stop.code is Code.DEVICE_LIST_APPROVAL:
                raise
            raise SecurityStop(Code.DEVICE_LIST_INVALID, stop.detail) from stop
        first_prekeys = {each.device_id: each.prekeys for each in prekeys}
        added = {
            device.device_id
            for device in following.devices
            if state.device(device.device_id) is None
        }
        if not first_prekeys.keys() <= added:
            raise UsageError(Code.USAGE_INVALID, "prekeys of a device that is not added")
        # A device's inbox has its id, so that whoever knows the device knows where to write.
        devices = [
            NewDevice(device.device_id, device.signature_key.to_bytes(), inbox=device.device_id)
            for device in following.devices
        ]
        return following, NewList(entry.number, data, devices, first_prekeys)

    def check_record(
        self, state: DeviceListState, name: str, upload: bytes, signature: bytes
    ) -> tuple[bytes, bytes]:
        """Verify a new OPAQUE record; returns it with its signature."""
        record = self._opaque.finish_registration(upload)
        signed = proofs.login_record(
            server=self._identity.name,
            name=name,
            account_id=state.account_id,
            record_version=record[0],
            upload=upload,
        )
        state.account_key.verify(signature, signed)
        return record, signature

    def check_vaults(self, state: DeviceListState, vaults: NewVaults) -> NewVaults:
        """Verify new vaults. `state` is the device list that they come with.

        A recovery key without its vault would look like a way back and be none.
        """
        signed = proofs.vaults(
            server=self._identity.name,
            account_id=state.account_id,
            number=vaults.number,
            vault=vaults.vault,
            recovery_vault=vaults.recovery_vault or b"",
        )
        state.account_key.verify(vaults.signature, signed)
        check_recovery(state, vaults.recovery_vault)
        return vaults

    async def make(self, account_id: bytes, change: AccountChange) -> None:
        """Make a change that was checked, and tell everybody whom it concerns, at once."""
        made = await self._store.accounts.change(account_id, change, now=self._clock())
        self._sessions.remove_devices(made.removed)
        if change.end_sessions:
            self._sessions.end_account(account_id, keep=change.keep_session)
        if change.device_list is not None:
            contacts = await self._store.accounts.contacts(account_id)
            body = PushDeviceList(account_id, change.device_list.number)
            self._hub.push(contacts, Kind.PUSH_DEVICE_LIST, body)


def check_recovery(state: DeviceListState, recovery_vault: bytes | None) -> None:
    """Return if there is a recovery vault exactly where the list names a recovery key."""
    if (state.recovery_key is None) != (recovery_vault is None):
        raise UsageError(Code.USAGE_INVALID, "a recovery key and its vault go together")
