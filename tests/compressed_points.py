"""ECDSA keys as compressed points, which RFC 9420 §5.1.1 does not allow and ts-mls writes.

This library refuses them. Tests that look at everything else of such groups read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from parlour.mls.public.suites import find_suite

CURVES: dict[int, type[ec.EllipticCurve]] = {2: ec.SECP256R1, 5: ec.SECP521R1, 7: ec.SECP384R1}


def _reader(strict: Any, curve: type[ec.EllipticCurve]) -> Any:
    class Lenient(strict):  # type: ignore[misc]
        def __init__(self, data: bytes) -> None:
            point = data
            if data[:1] in (b"\2", b"\3"):
                key = ec.EllipticCurvePublicKey.from_encoded_point(curve(), data)
                point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            super().__init__(point)
            self._bytes = data

    return Lenient


@contextmanager
def compressed_points_are_read(suite_id: int) -> Iterator[None]:
    """Within it, groups of this suite may hold compressed signature keys."""
    suite = find_suite(suite_id)
    strict = suite.verifying_key_type
    if suite_id in CURVES:
        suite.verifying_key_type = _reader(strict, CURVES[suite_id])
    try:
        yield
    finally:
        suite.verifying_key_type = strict
