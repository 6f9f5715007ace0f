"""Every bound that both sides keep, each with its reason."""

from __future__ import annotations

from typing import Final

# One frame carries one entry with its parts, or a page of entries.
MAX_FRAME: Final = 4 << 20
# 10,000 characters of text take at most 40 KB; the rest is room for group handshakes.
MAX_BODY: Final = 1 << 20
# A first pairwise message is 2 KiB; a Welcome without its tree stays under 16.
MAX_PART: Final = 16 << 10
# Leaves of a group of 1,500 people with two devices, and some more.
MAX_PARTS: Final = 4096
# A host name of 253 characters (RFC 1035 §2.3.4), a colon and a port; an address is shorter.
MAX_SERVER_NAME: Final = 260
# A hash of 32 bytes is the longest name of a key in any suite.
MAX_KEY_ID: Final = 32
# An entry of 50 devices, each with the longest sealed name, takes 29 KiB.
MAX_DEVICE_LIST_ENTRY: Final = 32 << 10
# A page of the largest entries is half a frame.
MAX_DEVICE_LIST_PAGE: Final = 64
# Lists of those whom one commit brings into a group. Of more than these, and of longer ones, each
# member asks for what it does not know yet, in one batch.
MAX_PUSHED_LISTS: Final = 8
# A list of one device has 300 bytes; this goes to each of 1,500 members.
MAX_PUSHED_LISTS_BYTES: Final = 32 << 10
# Above this many devices, pairwise encryption to each is not sensible.
MAX_DEVICES: Final = 50
# An ML-KEM-1024 key has 1,568 bytes; the rest is room for its signature and header.
MAX_PREKEY: Final = 2 << 10
# One upload refills two kinds of one-time prekeys.
MAX_PREKEYS_PER_UPLOAD: Final = 256
# What one device may have stored, of one kind.
MAX_PREKEYS_STORED: Final = 512
# A vault holds two keys; the rest is room for more of them. Servers store it unread.
MAX_VAULT: Final = 64 << 10
# A device as its list describes it, and two prekeys.
MAX_LINK_OFFER: Final = 16 << 10
# An account secret and a thousand contacts.
MAX_LINK_ANSWER: Final = 256 << 10
# A picture of 64 KiB with name and status, padded and sealed.
MAX_PROFILE: Final = 68 << 10
# What one account may have open; who floods a server with invites needs many accounts.
MAX_INVITES: Final = 20
# A family, or a small club.
MAX_INVITE_USES: Final = 50
# The longest OPAQUE message has 320 bytes; the rest is room for another group.
MAX_OPAQUE_MESSAGE: Final = 1 << 10
# Kind, suite, policies and one signature; larger rules have no place in it.
MAX_GENESIS: Final = 4 << 10
# Twice the 1,500 people of the largest group that is promised.
MAX_MEMBERS: Final = 3000
# What one device may follow and catch up with in one request.
MAX_STREAMS_PER_REQUEST: Final = 1000
# Entries of one page: enough to hide the round trip, few enough to decode at once.
MAX_PAGE: Final = 500
# A page also ends when it has this many bytes, so that it fits a frame.
MAX_PAGE_BYTES: Final = 2 << 20
# Handshakes share the room of an entry's body: a commit that adds 250 devices under X-Wing takes
# 700 KiB, one that adds 1,500 under suite 1 half a mebibyte.
MAX_HANDSHAKE_BODY: Final = MAX_BODY - (64 << 10)
# Context, external key and signature under X-Wing take 3 KiB; the roster's place is not in it.
MAX_GROUP_INFO: Final = 32 << 10
# 3,000 leaves with X-Wing keys and certificates, and the parents above them, are 9 MB: too much for
# a frame, so such groups are smaller. Under suite 1 they take 1.5 MB.
MAX_TREE: Final = 3 << 20
# A key package under X-Wing has 2.9 KiB.
MAX_KEY_PACKAGE: Final = 8 << 10
# One upload refills what a device keeps of one suite, with room to spare.
MAX_KEY_PACKAGES_PER_UPLOAD: Final = 100
# What one device may have stored, of one suite.
MAX_KEY_PACKAGES_STORED: Final = 200
# An entry that founds a group of 1,500, or adds as many, has 75 KiB.
MAX_ROSTER_ENTRY: Final = 256 << 10
# What one person decides at a time; a commit after a pause gathers the decisions of a few.
MAX_ROSTER_PER_COMMIT: Final = 16
# A wish to be added again has 167 bytes.
MAX_WISH: Final = 256
# They take 43 KB of a commit; whoever else waits comes with the next one.
MAX_WISHES: Final = 256
# A restart may tell a restored server what it has lost: as many entries as clients keep.
MAX_ROSTER_PER_RESTART: Final = 65
# Twice 1,500 members of 57 bytes, links, channels, and who is barred.
MAX_ROSTER_STATE: Final = 256 << 10
