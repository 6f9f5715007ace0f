"""Every bound of this package, with its reason. Times are whole seconds."""

from __future__ import annotations

from typing import Final

DAY: Final = 86_400

# --- Messages ---

# Larger content travels as an attachment; a text of 10,000 characters with everything around it
# stays far below.
MAX_CIPHERTEXT: Final = 1 << 18
MAX_PLAINTEXT: Final = MAX_CIPHERTEXT - 16
# One sending chain: a chain this long without an answer is an error, and the counter is 32 bits.
MAX_CHAIN_LENGTH: Final = (1 << 32) - 2

# --- What a peer can make us compute and keep ---

# A header is believed before its tag is checked, so a jump costs up to this many chain steps
# (3 µs each) per session. 2,000 covers a device that was offline while others wrote for days.
MAX_JUMP: Final = 2_000
# Keys of messages that did not come yet, per session. Each key kept is one message that a thief
# of the state can read; libsignal keeps as many.
MAX_SKIPPED: Final = 2_000
# Streams arrive in order, so a message late by more turns of the ratchet than this was lost.
MAX_RECEIVING_CHAINS: Final = 16
# A stream of the server keeps undelivered entries about this long.
MAX_SKIPPED_AGE: Final = 30 * DAY
# Each session that is tried costs a Diffie-Hellman. Two come of a simultaneous start, one more
# per reset; older ones only read what is late.
MAX_SESSIONS: Final = 5
# An inactive session only serves late messages.
MAX_ARCHIVE_AGE: Final = 30 * DAY
# A session that never got an answer rests on prekeys that the peer has erased by then.
MAX_UNANSWERED_AGE: Final = 30 * DAY
# Keys made ahead live in memory; a thief of memory reads as many messages ahead.
MAX_PRECOMPUTED: Final = 256

# --- Prekeys ---

ROTATION_PERIOD: Final = 7 * DAY
# What was sent to the replaced prekey may be under way for one more period.
RETENTION_PERIOD: Final = ROTATION_PERIOD
# A device may be offline this long and still be written to for the first time. As long as MLS
# key packages are accepted.
PREKEY_LIFETIME: Final = 90 * DAY
ONE_TIME_BATCH: Final = 100
REFILL_BELOW: Final = 25
# A server that always claims to have run out makes us issue no more than this many of each kind.
MAX_ONE_TIME_KEPT: Final = 1_000
# First messages remembered per signed prekey, 32 bytes each. When half is used the key is
# replaced early; when all is used, only first messages with one-time keys are taken.
MAX_REMEMBERED: Final = 4_096
# A batch signature covers at most 2^8 prekeys: a path has at most eight hashes, and a KEM prekey
# stays below the 2 KiB that a server takes.
MAX_BATCH_DEPTH: Final = 8
# One-time prekeys of each kind in one upload, so that both kinds and the signed ones fit a batch.
MAX_PUBLISHED: Final = 100
MAX_PREKEY_ID: Final = (1 << 32) - 1
# Signed prekeys kept at once: the current one, the one it replaced, one replaced early.
MAX_GENERATIONS: Final = 3
