"""Bounds of what a member keeps, with their reasons. Times are whole seconds."""

from __future__ import annotations

from typing import Final

# Past epochs whose application messages may still come, and for how long after the commit that
# ended them. Each is a chance for a thief of the state to read what was under way.
MAX_PAST_EPOCHS: Final = 5
PAST_EPOCH_AGE: Final = 3_600
# A generation is believed before its tag is checked: a jump costs four HMACs (6 µs) a step.
MAX_JUMP: Final = 2_000
# Keys of messages that did not come yet, per sender and kind of content.
MAX_SKIPPED: Final = 2_000
# Of all senders of an epoch together: 160 bytes each.
MAX_SKIPPED_IN_EPOCH: Final = 20_000
# The generation is a uint32; a sender who comes near should have committed long ago.
MAX_GENERATION: Final = (1 << 32) - 1
# Keys made ahead live in memory; a thief of memory reads as many messages ahead.
MAX_PRECOMPUTED: Final = 256
# Our own key packages begin this much in the past, for clients whose clock is behind.
BACKDATE: Final = 3_600
