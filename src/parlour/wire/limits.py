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
MAX_KEY_ID: Final = 32
# A device list entry of 50 devices with sealed names.
MAX_DEVICE_LIST_ENTRY: Final = 32 << 10
MAX_DEVICE_LIST_PAGE: Final = 64
MAX_DEVICES: Final = 50
MAX_PREKEY: Final = 2 << 10
# One upload refills two kinds of one-time prekeys.
MAX_PREKEYS_PER_UPLOAD: Final = 256
# What one device may have stored, of one kind.
MAX_PREKEYS_STORED: Final = 512
MAX_VAULT: Final = 64 << 10
MAX_OPAQUE_MESSAGE: Final = 1 << 10
MAX_GENESIS: Final = 4 << 10
MAX_MEMBERS: Final = 3000
MAX_STREAMS_PER_REQUEST: Final = 1000
MAX_PAGE: Final = 500
# A page also ends when it has this many bytes, so that it fits a frame.
MAX_PAGE_BYTES: Final = 2 << 20
