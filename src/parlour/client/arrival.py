"""A new device that puts itself on its account's list: by the recovery key, or by a passphrase.

What it signs is in its home before it leaves, and a try that goes on from there sends the same
device by the same entry (`signed_entry`). So the home is kept, whatever a server answers to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from parlour.client.account import Account
from parlour.client.home import Home
from parlour.client.new_device import MadeDevice
from parlour.client.notices import seen_change
from parlour.client.registration import logged_in, own_device
from parlour.client.set_up import begin_anew
from parlour.client.signed_entry import SignedEntry
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.records import RECORD, read_own
from parlour.conversation.upkeep import first_upload
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.errors import Code, error
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState


@dataclass(frozen=True, slots=True)
class Arrival:
    """A device that was made, and the entry that takes it in."""

    device: MadeDevice = field(repr=False)
    entry: DeviceListEntry

    @classmethod
    async def kept(cls, home: Home) -> Arrival | None:
        """What an earlier try has signed. Of its prekeys, those that last are there again."""
        records = await home.store.records()
        signed = SignedEntry.load(records)
        if signed is None:
            return None
        local = read_own(records).local()
        prekeys = PrekeyStore.from_bytes(records[Namespace.PREKEYS][RECORD], local)
        _, uploaded = first_upload(prekeys)
        made_at = signed.entry.issued_at
        return cls(MadeDevice(local, prekeys, uploaded, made_at), signed.entry)

    def is_next(self, state: DeviceListState) -> bool:
        """Whether this has to be sent, and nothing else may be signed (`SignedEntry.is_next`).

        Raises `HOME_EXISTS` where it is of another account.
        """
        if (self.entry.account_id, self.entry.account_key) != (state.account_id, state.account_key):
            raise error(Code.HOME_EXISTS, "what is unfinished here is of another account")
        return SignedEntry(self.entry).is_next(state)

    def others(self, state: DeviceListState) -> tuple[Device, ...]:
        """The devices on a list but this one, which never came to be used."""
        mine = self.device.device_id
        return tuple(device for device in state.devices if device.device_id != mine)

    async def keep(self, home: Home, name: str, account: Account) -> None:
        """Begin the home with it. The entry may leave now.

        The list as it was signed is what a person knows of; what follows is news (`notices`).
        """
        own = own_device(self.device, account.server, name, first=False)
        contact = Contact(name=name, head=self.entry)
        first = first_changes(own, contact, self.device.prekeys)
        signed = SignedEntry(self.entry)
        unfinished = replace(account, token="", begun=True)
        await begin_anew(
            home, [*first, unfinished.change(), signed.change(), seen_change(self.entry)]
        )

    @staticmethod
    async def finish(home: Home, token: str) -> None:
        """Write down that the server has taken it."""
        await logged_in(home, token)
        await home.store.apply([SignedEntry.deletion()])


def listed_in(records: Mapping[Namespace, Mapping[bytes, bytes]]) -> DeviceListEntry:
    """The last entry of its own account's list that a home knows."""
    own = read_own(records)
    return Contact.decode(records[Namespace.CONTACT][own.account_id]).head
