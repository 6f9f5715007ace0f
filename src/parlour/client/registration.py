"""From an invite to a home with an account in it, and a new login for a home that has one.

Everything that the account stands on is on this disk before the server makes it: a crash in
between leaves a home that a second `register` finishes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from parlour.client import login, new_device
from parlour.client.account import Account
from parlour.client.address import Address
from parlour.client.home import Home, new_lock
from parlour.client.inviter import Inviter
from parlour.client.notices import seen_change
from parlour.client.set_up import SetUp, begin_anew
from parlour.client.signed_entry import SignedEntry
from parlour.client.tls import Authorities, Pinned
from parlour.client.workers import run_slow
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.records import OwnDevice, read_own
from parlour.errors import AccessError, Code, UsageError, error
from parlour.identity.invite import Invite
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.login import new_account_name
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.ids import ID_SIZE

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
    password: str | Passphrase,
    *,
    keychain: str | None = None,
    recovery: RecoveryKey | None = None,
    lone: bool = False,
    device_name: str = "",
) -> None:
    """Make an account on the invite's server, and a home for it in `folder`.

    The home opens with the password, or with the `keychain` of that name. `recovery` is a key that
    a person has written down before; without one, a forgotten password loses the account. With
    `lone`, the password must be a generated `Passphrase`, and the vault opens with it alone, where
    the server allows that (`PASSPHRASE_REFUSED`). `device_name` is for the account's own devices.

    After a crash, or a cut at the wrong moment, the same call goes on where the last one ended; a
    passphrase may then be given as text. Where the server refuses, no home is left. Who has
    invited becomes the first contact when the home is opened (`Client.invites.meet`).
    """
    if isinstance(invite, str):
        invite = Invite.from_text(invite)
    if lone and not isinstance(password, Passphrase):
        raise UsageError(Code.USAGE_INVALID, "only a generated passphrase stands alone")
    if invite.expires_at and invite.expires_at < time.time():
        raise error(Code.INVITE_INVALID, "it has expired")
    text = password.reveal() if isinstance(password, Passphrase) else password
    signing_up = _SigningUp(invite, name, password if lone else text, recovery, device_name)
    set_up = SetUp(signing_up.finish, signing_up.make, _REFUSALS)
    await set_up.run(home_folder(folder), text, keychain)


class _SigningUp:
    """One registration, or what is left of it."""

    def __init__(
        self,
        invite: Invite,
        name: str,
        password: str | Passphrase,
        recovery: RecoveryKey | None,
        device_name: str,
    ) -> None:
        self._invite = invite
        self._name = new_account_name(name)
        self._password = password
        self._recovery = recovery
        self._device_name = device_name

    async def finish(self, home: Home) -> bool:
        """Log in, if the server made the account before the last try ended."""
        password = self._password
        text = password.reveal() if isinstance(password, Passphrase) else password
        records = await home.store.records()
        own = read_own(records)
        if own.name != self._name or SignedEntry.load(records) is not None:
            raise error(Code.HOME_EXISTS, "an unfinished registration of another name")
        try:
            await log_in_home(home, text)
        except AccessError as problem:
            if problem.code is Code.LOGIN_FAILED:
                # The server never made it. Or the password is not that one: then the name is
                # taken, and what is here stays.
                return False
            raise
        self._check_recovery(Contact.decode(records[Namespace.CONTACT][own.account_id]))
        return True

    def _check_recovery(self, contact: Contact) -> None:
        """Nobody keeps a paper that opens nothing: the account was made with the first try's."""
        if self._recovery is None:
            return
        if contact.head.recovery_key != self._recovery.proof_key().public_key:
            raise error(
                Code.USAGE_STATE,
                "the account is made, with the recovery key that was shown at the first try, or "
                "with none; if you have not kept that, make a new one: parlour recovery new",
            )

    async def make(self, home: Home) -> None:
        """Make the account."""
        invite, now = self._invite, int(time.time())
        device = await run_slow(new_device.make_device, system_random(ID_SIZE), now)
        address = Address(invite.host, invite.port)
        trust = Authorities() if invite.pin is None else Pinned.of([invite.pin])

        async def keep(new: login.NewAccount) -> None:
            pins = () if invite.pin is None else (new.channel_pin,)
            account = Account(
                server=new.server.name,
                host=address.host,
                port=address.port,
                pins=pins,
                token="",
                secret=new.account_secret.reveal(),
                begun=True,
            )
            contact = Contact(name=new.name, head=new.device_list_entry)
            own = own_device(device, new.server.name, new.name)
            first = first_changes(own, contact, device.prekeys)
            seen = seen_change(new.device_list_entry)
            await begin_anew(home, [*first, *Inviter.of(invite), account.change(), seen])

        registered = await login.register(
            login.Target(address, trust, invite.server),
            name=self._name,
            password=self._password,
            device=login.NewDevice(device, self._device_name),
            keep=keep,
            now=now,
            invite=invite.secret,
            recovery=self._recovery,
        )
        await logged_in(home, registered.token.text())


def own_device(
    device: new_device.MadeDevice, server: str, name: str, *, first: bool = True
) -> OwnDevice:
    """A made device as its home remembers it."""
    local = device.local
    return OwnDevice(
        server=server,
        name=name,
        account_id=local.identity.account_id,
        signature_key=local.signature_key.to_bytes(),
        identity_key=local.identity_key.to_bytes(),
        first=first,
    )


async def log_in(folder: Path | str, password: str, *, account_password: str | None = None) -> None:
    """Log the device of a home in again: after its login was ended, or never finished.

    `password` opens the home; `account_password` is the account's, where another device has
    changed that: the home opens by it afterwards. Nothing that the home holds is lost, and what
    was queued goes out.
    """
    path = home_folder(folder)
    home = await Home.open(path, password)
    try:
        await log_in_home(home, account_password or password)
        if account_password not in (None, password) and await Home.keychain_of(path) is None:
            await home.change_lock(new_lock(account_password), password=password)
    finally:
        await home.close()


async def log_in_home(home: Home, password: str) -> None:
    """Log the device of an open home in."""
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
    await logged_in(home, result.token.text())


async def logged_in(home: Home, token: str, *, vaults: int = 0) -> None:
    """Write down that the server has confirmed a login; `vaults` is their number, if it is new."""
    account = Account.load(await home.store.records())
    highest = max(vaults, account.vaults)
    done = replace(account, token=token, begun=False, vaults=highest)
    await home.store.apply([done.change()])
