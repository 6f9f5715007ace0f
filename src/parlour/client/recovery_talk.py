"""The talk by which a recovery key is proved, and a new password set; see `recovery`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from parlour.client.connection import Connection
from parlour.client.login import Channel, check_ids, stretched_for
from parlour.client.vaults import new_vaults, sign_record
from parlour.client.workers import run_slow
from parlour.errors import AuthenticationError, Code, SecurityStop
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, DeviceListState, device_id_of
from parlour.identity.recovery import RecoveryKey
from parlour.identity.recovery_vault import Recovered, open_recovery_vault
from parlour.identity.vault import ArchiveKey
from parlour.login import ClientRegistration, Registration
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire import recovery as wire
from parlour.wire.kinds import Kind
from parlour.wire.login import LoggedIn, RegisterChallenge
from parlour.wire.prekeys import Prekey


@dataclass(frozen=True, slots=True)
class Proved:
    """An account whose recovery key was proved, opened and checked on this connection."""

    channel: Channel
    recovered: Recovered = field(repr=False)
    state: DeviceListState

    @property
    def account_key(self) -> Ed25519PrivateKey:
        """What signs the next entry of the device list."""
        return self.recovered.content.account_key

    @property
    def number(self) -> int:
        """The number of the vaults that the server holds."""
        return self.recovered.content.number

    @property
    def next_number(self) -> int:
        """The number of those that take their place."""
        return self.number + 1


async def prove(connection: Connection, channel: Channel, key: RecoveryKey) -> Proved:
    """Prove the recovery key, open what it opens, and compare that with the device list.

    Raises `RECOVERY_FAILED`, `VAULT_CLOSED`, and `SecurityStop` where it does not fit.
    """
    challenge = await connection.ask(
        Kind.RECOVER_START, wire.RecoverStart(channel.name), wire.RecoverChallenge
    )
    signed = proofs.recovery(
        server=channel.server, pin=channel.pin, name=channel.name, nonce=challenge.nonce
    )
    finish = wire.RecoverFinish(key.proof_key().sign(signed))
    answer = await connection.ask(Kind.RECOVER_FINISH, finish, wire.Recovered)
    recovered = open_recovery_vault(
        answer.recovery_vault, account_id=answer.account_id, key=key.vault_key()
    )
    entry = DeviceListEntry.decode(answer.device_list_entry)
    _check_answer(answer, recovered, entry, key)
    return Proved(channel, recovered, DeviceListState.after(entry))


def _check_answer(
    answer: wire.Recovered, recovered: Recovered, entry: DeviceListEntry, key: RecoveryKey
) -> None:
    """Return if vault and list are of one account, and both of them know this recovery key."""
    if recovered.content.number != answer.vault_number:
        raise SecurityStop(Code.VAULT_ROLLBACK, f"as number {answer.vault_number}")
    if entry.account_id != answer.account_id:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry is of another account")
    if entry.account_key != recovered.content.account_key.public_key:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the vault holds another account key")
    try:
        entry.verify_signature()
    except AuthenticationError as problem:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "signature") from problem
    if entry.recovery_key != key.proof_key().public_key:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list names another recovery key")


class Reset:
    """A new password between its two legs, on the connection where the key was proved."""

    def __init__(self, connection: Connection, proved: Proved, registration: Registration) -> None:
        self._connection = connection
        self._proved = proved
        self._registration = registration

    @classmethod
    async def start(cls, connection: Connection, proved: Proved, password: str) -> Reset:
        """The first leg. The server waits a minute for the second one."""
        channel = proved.channel
        stretched = await stretched_for(channel.server, channel.name, password)
        state, request = await run_slow(ClientRegistration.start, stretched)
        challenge = await connection.ask(
            Kind.RESET_START, wire.ResetStart(request), RegisterChallenge
        )
        return cls(connection, proved, await run_slow(state.finish, challenge.response))

    async def finish(
        self,
        device_key: Ed25519PrivateKey,
        *,
        entry: DeviceListEntry | None = None,
        prekeys: list[Prekey] | None = None,
        end_sessions: bool,
    ) -> str:
        """Seal both vaults anew, let the server change all at once, and return the token."""
        channel, recovered = self._proved.channel, self._proved.recovered
        account_id = self._proved.state.account_id
        content = replace(
            recovered.content,
            archive_key=ArchiveKey.generate(system_random),
            number=self._proved.next_number,
        )
        device_id = device_id_of(device_key.public_key)
        signed = proofs.reset(
            server=channel.server,
            pin=channel.pin,
            name=channel.name,
            device_id=device_id,
            transcript=self._registration.transcript,
        )
        finish = wire.ResetFinish(
            upload=self._registration.upload,
            record_signature=sign_record(
                content.account_key,
                server=channel.server,
                name=channel.name,
                account_id=account_id,
                upload=self._registration.upload,
            ),
            vaults=new_vaults(
                content,
                recovered.secret,
                server=channel.server,
                account_id=account_id,
                export_key=self._registration.export_key,
                lone=False,
            ),
            device_id=device_id,
            device_proof=device_key.sign(signed),
            device_list_entry=None if entry is None else entry.encode(),
            prekeys=prekeys or [],
            end_sessions=end_sessions,
        )
        answer = await self._connection.ask(Kind.RESET_FINISH, finish, LoggedIn)
        check_ids(answer, account_id, device_id)
        return answer.token
