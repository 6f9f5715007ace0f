"""Profiles: ours on its way to the server and to contacts, and those of contacts.

The server holds them sealed. Their keys go through the conversations, as notices, with the version
that there is to read: so a server that shows an older one is found out. Whoever is blocked keeps
the key that they had, and gets no other: ours is sealed under a new one.
"""

from __future__ import annotations

from typing import Final

from parlour.conversation.events import ProfileChanged
from parlour.conversation.records import KnownProfile
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import OwnProfileSync, ProfileKeyGiven
from parlour.identity.profile import Profile, ProfileKey, open_profile, seal_profile
from parlour.wire.kinds import Kind
from parlour.wire.profiles import ReadProfile, SealedProfile, SetProfile

SET_PROFILE: Final = "set-profile"
PROFILE: Final = "profile"


class Profiles:
    """Keeps our profile with the server and our contacts, and reads theirs."""

    def __init__(self, memory: Memory, sending: Sending) -> None:
        self._memory = memory
        self._sending = sending
        # What can't be read as it is: not asked for again on this connection.
        self._unreadable: set[bytes] = set()

    def connected(self) -> None:
        """A server that showed what can't be read may show something else by now."""
        self._unreadable.clear()

    @property
    def _own(self) -> KnownProfile:
        return self._memory.profile(self._memory.account_id)

    # --- Ours ----------------------------------------------------------------------------

    def set_own(self, name: str, status: str, picture: bytes) -> None:
        """Have another profile from now on; raises `LimitError` for one that is too large."""
        own = self._own
        key = own.key or ProfileKey.generate(self._memory.random).reveal()
        version = max(own.version, own.announced) + 1
        following = KnownProfile(
            key=key,
            announced=version,
            version=version,
            name=name,
            status=status,
            picture=picture,
            unsent=True,
        )
        self._sealed(following)
        self._put_own(following)

    def rotate(self) -> None:
        """Seal our profile under another key, which those whom we blocked don't get."""
        own = self._own
        if own.key:
            own.key = ProfileKey.generate(self._memory.random).reveal()
            own.version = own.announced = max(own.version, own.announced) + 1
            own.unsent = True
            self._put_own(own)

    def _put_own(self, own: KnownProfile) -> None:
        self._memory.profiles[self._memory.account_id] = own
        self._memory.put_profile(self._memory.account_id)
        self._memory.events.append(ProfileChanged(self._memory.account_id))

    def _sealed(self, own: KnownProfile) -> bytes:
        return seal_profile(
            Profile(own.version, own.name, own.status, own.picture),
            key=ProfileKey(own.key),
            account_id=self._memory.account_id,
            random=self._memory.random,
        )

    def stored(self, version: int, now: int) -> None:
        """The server has that version of ours: tell our contacts, and our other devices."""
        own = self._own
        if own.version != version or not own.unsent:
            return
        own.unsent = False
        self._memory.put_profile(self._memory.account_id)
        for contact in self._memory.contacts.values():
            if contact.standing is Standing.ACCEPTED:
                self.give(contact.account_id, now)
        sync = OwnProfileSync(own.key, own.version)
        self._sending.send_silently(self._memory.account_id, sync, now)

    def give(self, peer: bytes, now: int) -> None:
        """Give the key of our profile to a contact, if there is a conversation and a profile."""
        own = self._own
        spoken = peer in self._memory.conversations and peer != self._memory.account_id
        if own.key and not own.unsent and spoken:
            self._sending.send_silently(peer, ProfileKeyGiven(own.key, own.version), now)

    def synced(self, sync: OwnProfileSync) -> None:
        """Another device of ours set the profile."""
        own = self._own
        if (sync.version, sync.key) == (own.announced, own.key) or sync.version < own.announced:
            return
        if sync.version == own.announced and own.key > sync.key:
            # Two devices set it at once; all of them let the same one have its way.
            own.version = own.announced = sync.version + 1
            own.unsent = True
        else:
            own.key, own.announced, own.unsent = sync.key, sync.version, False
            # To be read, also when another one of this version was set here.
            own.version = min(own.version, sync.version - 1)
        self._memory.put_profile(self._memory.account_id)

    # --- Contacts' -----------------------------------------------------------------------

    def given(self, account_id: bytes, key: bytes, version: int) -> None:
        """The key of an account's profile, from itself or from another device of ours.

        What is older than what we know is passed over.
        """
        known = self._memory.profile(account_id)
        if version > known.announced and len(key) == ProfileKey.SIZE:
            known.key, known.announced = key, version
            self._memory.put_profile(account_id)
            self._unreadable.discard(account_id)

    def requests(self) -> list[ServerRequest]:
        """Our profile to set, and the profiles to read."""
        needs = []
        own_id = self._memory.account_id
        for account_id, known in self._memory.profiles.items():
            if account_id == own_id and known.unsent:
                body = SetProfile(profile=self._sealed(known))
                key = (SET_PROFILE, known.version.to_bytes(8))
                needs.append(ServerRequest(key, Kind.SET_PROFILE, body))
            elif known.announced > known.version and self._may_read(account_id):
                read = ReadProfile(account_id=account_id)
                needs.append(ServerRequest((PROFILE, account_id), Kind.READ_PROFILE, read))
        return needs

    def _may_read(self, account_id: bytes) -> bool:
        """A stranger's name and picture are not for our eyes until we accept them."""
        if account_id in self._unreadable:
            return False
        if account_id == self._memory.account_id:
            return True
        contact = self._memory.contacts.get(account_id)
        return contact is not None and contact.standing is Standing.ACCEPTED

    def failed(self, account_id: bytes) -> None:
        """What the server shows is not what was announced."""
        self._unreadable.add(account_id)

    def answered(self, account_id: bytes, answer: SealedProfile) -> None:
        """Take a profile; raises `SecurityStop` for an older one than was announced."""
        known = self._memory.profile(account_id)
        profile = open_profile(
            answer.profile,
            key=ProfileKey(known.key),
            account_id=account_id,
            seen=known.announced,
        )
        known.version = known.announced = profile.version
        known.name, known.status = profile.name, profile.status
        if account_id == self._memory.account_id:
            known.picture = profile.picture
        self._memory.put_picture(account_id, profile.picture)
        self._memory.put_profile(account_id)
        self._memory.events.append(ProfileChanged(account_id))
