"""What a person's devices tell each other in the self conversation.

Each says how something is, and when a person decided so (`at`, milliseconds). Of two decisions
about one thing the later counts, in whatever order they arrive, so that all devices come to agree
and saying it again does no harm. Read positions only grow.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from parlour.conversation.standing import Standing
from parlour.identity.profile import MAX_VERSION

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Version = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
# A name as the server has it.
_Name = Annotated[str, Meta(min_length=1, max_length=32)]

# Fifty devices with the longest sealed names and all approvals have 30 KiB.
MAX_LIST_ENTRY: Final = 40 << 10
MAX_SETTING_KEY: Final = 64
# A line on a narrow screen, four times over.
MAX_GROUP_NAME: Final = 128
MAX_SETTING: Final = 1024
# A program has a few dozen of them.
MAX_SETTINGS: Final = 200


class AnnouncedProfile(Struct, array_like=True, frozen=True):
    """A profile as its owner announced it: the key, the version, and the hash of what is sealed.

    Whoever has the key could seal another one; with the hash it is this one or none.
    """

    key: _Hash
    version: _Version
    digest: _Hash

    def __repr__(self) -> str:
        return f"AnnouncedProfile(version={self.version})"


class ContactSync(Struct, array_like=True, frozen=True):
    """How this person stands to an account, and what is known of its device list.

    `verified_key` is the account key that a person compared, or empty. A server that shows an
    older list, or another key, to one of our devices is found out by `list_number`, `list_hash`
    and `account_key`. `profile` is what the account announced last, if anything.
    """

    account_id: _Id
    name: _Name
    account_key: _Hash
    list_number: _Number
    list_hash: _Hash
    standing: Standing
    standing_at: _Number
    verified_key: Annotated[bytes, Meta(max_length=32)]
    verified_at: _Number
    profile: AnnouncedProfile | None = None

    def __repr__(self) -> str:
        return f"ContactSync({self.account_id.hex()})"


class Forgotten(Struct, array_like=True, frozen=True):
    """A person forgot an account: it is a stranger from now on."""

    account_id: _Id
    at: _Number


class ReadUpTo(Struct, array_like=True, frozen=True):
    """The conversation with an account was read up to this number of its stream."""

    account_id: _Id
    seq: _Number


class SettingSync(Struct, array_like=True, frozen=True):
    """A setting of the person, the same on all devices."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_SETTING_KEY)]
    value: Annotated[str, Meta(max_length=MAX_SETTING)]
    at: _Number

    def __repr__(self) -> str:
        return f"SettingSync({self.key})"


class OwnProfileSync(Struct, array_like=True, frozen=True):
    """The account's own profile; what it says lies on the server."""

    profile: AnnouncedProfile


class OwnListSync(Struct, array_like=True, frozen=True):
    """The newest entry of our own device list that this device was shown, signed and encoded."""

    entry: Annotated[bytes, Meta(max_length=MAX_LIST_ENTRY)]

    def __repr__(self) -> str:
        return f"OwnListSync([{len(self.entry)} bytes])"


class GroupSync(Struct, array_like=True, frozen=True):
    """Whether the person wants to be in a group, and what is known of its name."""

    group: _Id
    accepted: bool
    at: _Number
    name: Annotated[str, Meta(max_length=MAX_GROUP_NAME)]
    salt: Annotated[bytes, Meta(max_length=16)]

    def __repr__(self) -> str:
        return f"GroupSync({self.group.hex()})"


class SyncRequest(Struct, array_like=True, frozen=True):
    """A device that was made without an older one's help asks for everything."""


Sync: TypeAlias = (
    ContactSync
    | Forgotten
    | ReadUpTo
    | SettingSync
    | OwnProfileSync
    | OwnListSync
    | GroupSync
    | SyncRequest
)


class DeviceListGiven(Struct, array_like=True, frozen=True):
    """Notice to a contact: the newest entry of our device list, signed and encoded."""

    entry: Annotated[bytes, Meta(max_length=MAX_LIST_ENTRY)]

    def __repr__(self) -> str:
        return f"DeviceListGiven([{len(self.entry)} bytes])"


class ProfileKeyGiven(Struct, array_like=True, frozen=True):
    """Notice to a contact: our profile as it is now, with its key."""

    profile: AnnouncedProfile
