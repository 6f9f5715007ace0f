"""Recovery keys as somebody typed them: a key that is read is printed as what was meant."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.identity.recovery import RecoveryKey

SEEDS: Final = [
    RecoveryKey(bytes(range(16))).to_text().encode(),
    RecoveryKey(bytes(16)).to_text().lower().replace("-", " ").encode(),
]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        key = RecoveryKey.from_text(text)
    except ParlourError:
        return
    assert RecoveryKey.from_text(key.to_text()) == key
