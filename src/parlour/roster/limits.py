"""Bounds of rosters, each with its reason."""

from __future__ import annotations

from typing import Final

ID_SIZE: Final = 16
# The largest preset promises 1,500 people; twice that leaves room. A state stays under 240 KB.
MAX_ACCOUNTS: Final = 3_000
# Links are for people to hand round: more at a time than anybody could keep apart.
MAX_LINKS: Final = 64
# As many as a large guild has; each costs 18 bytes of every state.
MAX_CHANNELS: Final = 500
# Everybody at once, the channels, and a name beside them.
MAX_CHANGES: Final = MAX_ACCOUNTS + MAX_CHANNELS + MAX_LINKS
# Adding everybody takes 150 KB; 2,600 leaves with their statements fit as well. What a frame takes.
MAX_ENTRY_SIZE: Final = 256 << 10
MAX_STATE_SIZE: Final = 256 << 10
# A genesis has 167 bytes; the rest is room for fields to come.
MAX_GENESIS_SIZE: Final = 4 << 10
# A leaf's certificate has 148 bytes, and every leaf of every tree carries one.
MAX_CERTIFICATE_SIZE: Final = 512
# The largest public key of a suite of MLS: an uncompressed point of P-521.
MAX_LEAF_KEY_SIZE: Final = 133

DAY_MS: Final = 86_400_000
# A link that lies about for longer has been forgotten by who made it.
MAX_LINK_LIFETIME_MS: Final = 365 * DAY_MS
# How far the clock of who signs may run ahead of the clock of who checks with one.
MAX_CLOCK_SKEW_MS: Final = DAY_MS
# Above ten years, "forever" is what is meant.
MAX_RETENTION_DAYS: Final = 3_660
