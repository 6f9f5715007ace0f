"""Every bound of what a stranger may make us read, with its reason. Times are whole seconds."""

from __future__ import annotations

from typing import Final

DAY: Final = 86_400

# A Welcome for 10,000 with X-Wing leaves is 27 MB; nothing honest is longer than twice that.
MAX_MESSAGE: Final = 1 << 26
# A tree of this many leaves costs a joiner seconds of signatures already.
MAX_LEAVES: Final = 1 << 16
MAX_NODES: Final = 2 * MAX_LEAVES - 1
# Of one object. Our own objects have at most five, and a handful of GREASE values.
MAX_EXTENSIONS: Final = 64
# Of one list of `Capabilities`: the registries of §17 have a few dozen entries.
MAX_CAPABILITIES: Final = 256
# Names and certificates travel in every leaf; a chain of certificates is about 4 KiB.
MAX_CREDENTIAL: Final = 1 << 16
MAX_CERTIFICATES: Final = 16
# The largest public key here is X-Wing's (1,216 bytes), the largest signature Ed448's or a DER of
# P-521; twice the sizes of the pure post-quantum schemes that drafts name leave room.
MAX_KEY: Final = 1 << 13
MAX_SIGNATURE: Final = 1 << 14
# A hash or a MAC is at most 64 bytes (SHA-512). Foreign test data has longer ones.
MAX_HASH: Final = 255
MAX_GROUP_ID: Final = 255
# A commit can add as many members as there are leaves.
MAX_PROPOSALS: Final = MAX_LEAVES
# Proposals that wait for a commit, in number and bytes: they live in memory, and in the record that
# each message writes.
MAX_PENDING_PROPOSALS: Final = 1 << 14
MAX_PENDING_SIZE: Final = 1 << 25
# Of one sender: a few would be enough, and who floods fills up no more than this. All who ask to be
# added share one such quota, as anybody can be as many strangers as they like.
MAX_PENDING_PER_SENDER: Final = 1 << 10
MAX_PENDING_SIZE_PER_SENDER: Final = 1 << 20
# PSKs of one commit: each costs four HMACs and a look-up.
MAX_PSKS: Final = 64
MAX_EXTERNAL_SENDERS: Final = 64
# Padding is read byte by byte before it is trusted.
MAX_PLAINTEXT: Final = MAX_MESSAGE
# Authenticated data travels in clear with each message.
MAX_AUTHENTICATED_DATA: Final = 1 << 20
# §7.2: "Applications MUST define a maximum total lifetime". 90 days and the hour by which
# `not_before` lies in the past.
MAX_LIFETIME: Final = 90 * DAY + 3_600
