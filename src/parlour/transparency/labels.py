"""Every label that this package hashes under."""

from __future__ import annotations

from typing import Final

SAFETY_NUMBER: Final = b"parlour/1 transparency safety number"
SAFETY_WORDS: Final = b"parlour/1 transparency safety words"
