"""Profiles: ours on its way to the server and to contacts, and those of contacts.

The server holds them sealed. They are announced through the conversations, as notices with the key,
the version and the hash of what there is to read: so neither a server that shows an older one is
believed, nor a contact who has the key and seals another one for it. Who is blocked or forgotten
keeps the key that they had, and gets no other: ours is sealed under a new one.
"""

from __future__ import annotations

from typing import Final

from parlour.conversation.events import ProfileChanged
from parlour.conversation.records import KnownProfile
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import AnnouncedProfile, OwnProfileSync, ProfileKeyGiven
from parlour.identity.profile import (
    Profile,
    ProfileKey,
    is_newer,
    next_version,
    open_profile,
    profile_hash,
    seal_profile,
)
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
        known = self._own
        following = KnownProfile(
            key=b"" if known.renew else known.key,
            announced=known.announced,
            name=name,
            status=status,
            picture=picture,
            renew=known.renew,
        )
        self._put_own(following)

    def rotate(self) -> None:
        """Seal our profile under another key, which those whom we are rid of don't get."""
        own = self._own
        if not own.key:
            return
        own.renew = True
        if own.is_read:
            own.key = b""
            self._put_own(own)
        else:
            # First to be read, to be sealed anew with what another device of ours made of it.
            self._memory.put_profile(self._memory.account_id)

    def _put_own(self, own: KnownProfile) -> None:
        """Seal what our profile is now, as its next version; under another key if it has none."""
        own.key = own.key or ProfileKey.generate(self._memory.random).reveal()
        own.version = own.announced = next_version(own.announced)
        own.sealed = seal_profile(
            Profile(own.version, own.name, own.status, own.picture),
            key=ProfileKey(own.key),
            account_id=self._memory.account_id,
            random=self._memory.random,
        )
        own.digest = profile_hash(own.sealed)
        own.unsent = own.made_here = True
        self._memory.profiles[self._memory.account_id] = own
        self._memory.put_profile(self._memory.account_id)
        self._memory.events.append(ProfileChanged(self._memory.account_id))

    def stored(self, version: int, now: int) -> None:
        """The server has that version of ours: tell our contacts, and our other devices."""
        own = self._own
        if own.version != version or not own.unsent:
            return
        own.unsent = own.renew = False
        own.sealed = b""
        self._memory.put_profile(self._memory.account_id)
        for contact in self._memory.contacts.values():
            if contact.standing is Standing.ACCEPTED:
                self.give(contact.account_id, now)
        self._tell(now)

    def _tell(self, now: int) -> None:
        own = self._own
        sync = OwnProfileSync(AnnouncedProfile(own.key, own.announced, own.digest))
        self._sending.send_silently(self._memory.account_id, sync, now)

    def give(self, peer: bytes, now: int) -> None:
        """Give the key of our profile to a contact, if there is a conversation and a profile."""
        own = self._own
        spoken = peer in self._memory.conversations and peer != self._memory.account_id
        if own.announcement is not None and not own.unsent and spoken:
            self._sending.send_silently(peer, ProfileKeyGiven(own.announcement), now)

    def synced(self, theirs: AnnouncedProfile, now: int) -> None:
        """Another device of ours set the profile, or says how it is.

        Two devices may have set it at once. All of them let the same one have its way, and that one
        puts it to the server again, which may have got the other one's later.
        """
        own = self._own
        ours = own.announcement
        if ours is None or is_newer(theirs.version, ours.version):
            self._follow(own, theirs)
        elif theirs.version == ours.version and _rank(theirs) > _rank(ours):
            if own.unsent:
                # It may be on its way to the server all the same.
                self._tell(now)
            self._follow(own, theirs)
        elif own.made_here and theirs.key != ours.key:
            # Whichever device took another key did so because somebody had the one before.
            self.rotate()
        elif own.made_here and theirs.version == ours.version and theirs != ours:
            self._put_own(own)

    def _follow(self, own: KnownProfile, theirs: AnnouncedProfile) -> None:
        own.announce(theirs)
        own.unsent = own.made_here = False
        own.sealed = b""
        self._memory.put_profile(self._memory.account_id)
        self._unreadable.discard(self._memory.account_id)

    # --- Contacts' -----------------------------------------------------------------------

    def given(self, account_id: bytes, profile: AnnouncedProfile) -> None:
        """An account announced its profile. What comes late is passed over."""
        known = self._memory.profile(account_id)
        if not known.by_owner or is_newer(profile.version, known.announced):
            known.by_owner = True
            self._announced(account_id, known, profile)

    def told(self, account_id: bytes, profile: AnnouncedProfile) -> None:
        """Another device of ours says what an account announced, which may know better."""
        known = self._memory.profile(account_id)
        if not known.by_owner and is_newer(profile.version, known.announced):
            self._announced(account_id, known, profile)

    def _announced(self, account_id: bytes, known: KnownProfile, profile: AnnouncedProfile) -> None:
        if profile != known.announcement:
            known.announce(profile)
            self._unreadable.discard(account_id)
        self._memory.put_profile(account_id)

    def requests(self) -> list[ServerRequest]:
        """Our profile to set, and the profiles to read."""
        needs = []
        own_id = self._memory.account_id
        for account_id, known in self._memory.profiles.items():
            if account_id == own_id and known.unsent:
                body = SetProfile(profile=known.sealed)
                key = (SET_PROFILE, known.version.to_bytes(8))
                needs.append(ServerRequest(key, Kind.SET_PROFILE, body))
            elif known.announced != known.version and self._may_read(account_id):
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
        """Take a profile; raises `SecurityStop` for another one than was announced."""
        known = self._memory.profile(account_id)
        if known.is_read:
            return
        profile = open_profile(
            answer.profile,
            key=ProfileKey(known.key),
            account_id=account_id,
            version=known.announced,
            digest=known.digest,
        )
        known.version = profile.version
        known.name, known.status = profile.name, profile.status
        if account_id == self._memory.account_id:
            known.picture = profile.picture
        self._memory.put_picture(account_id, profile.picture)
        self._memory.put_profile(account_id)
        self._memory.events.append(ProfileChanged(account_id))
        if known.renew:
            self.rotate()


def _rank(profile: AnnouncedProfile) -> tuple[bytes, bytes]:
    """Which of two profiles of one version all our devices take."""
    return profile.key, profile.digest
