"""What lets people check that they hold the right keys of each other.

Layout: `fingerprint` (the iterated hash and its digits), `safety_words` (words for one), `labels`,
`safety_number` (ours, of two account keys, with the payload of its QR code).
"""

from parlour.transparency.safety_number import Party, SafetyNumber, compare, safety_number

__all__ = ["Party", "SafetyNumber", "compare", "safety_number"]
