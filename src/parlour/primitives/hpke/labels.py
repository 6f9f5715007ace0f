"""LabeledExtract and LabeledExpand over HKDF (RFC 9180 §4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from parlour.primitives.kdf import hash_size, hkdf_expand, hkdf_extract, hkdf_extract_pieces

_VERSION: Final = b"HPKE-v1"


class LabeledKdf:
    """HKDF whose every call is bound to `suite_id` and a label. `size` is the hash's, in bytes."""

    __slots__ = ("_hash_name", "_prefix", "size")

    def __init__(self, hash_name: str, suite_id: bytes) -> None:
        self._hash_name = hash_name
        self._prefix = _VERSION + suite_id
        self.size = hash_size(hash_name)

    def extract(self, salt: bytes, label: bytes, key_material: bytes) -> bytes:
        """LabeledExtract."""
        return hkdf_extract(salt, self._prefix + label + key_material, self._hash_name)

    def extract_pieces(self, salt: bytes, label: bytes, key_material: Iterable[bytes]) -> bytes:
        """LabeledExtract of long material in pieces, which are not copied into one."""
        pieces = (self._prefix + label, *key_material)
        return hkdf_extract_pieces(salt, pieces, self._hash_name)

    def expand(self, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
        """LabeledExpand; `length` is at most 255 hashes."""
        # An unsuitable length is told by HKDF; here it only must not fail before.
        size = (length & 0xFFFF).to_bytes(2)
        return hkdf_expand(key, size + self._prefix + label + info, length, self._hash_name)
