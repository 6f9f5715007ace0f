"""Labels of derivations."""

from typing import Final

EPOCH_TAG: Final = b"parlour epoch tag"
"""MLS-Exporter: tells two epochs of one number apart, in the clear of each message."""
