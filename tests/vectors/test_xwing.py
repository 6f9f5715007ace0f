"""The vectors of draft-connolly-cfrg-xwing-kem: keys and decapsulation.

Encapsulation is reproducible in its X25519 half only; ML-KEM draws inside the library.
"""

from parlour.primitives.xwing import XWingPrivateKey
from tests.conftest import load_vector


def test_published_cases() -> None:
    cases = load_vector("xwing/test-vectors.json")
    assert len(cases) == 3
    for case in cases:
        key = XWingPrivateKey(bytes.fromhex(case["seed"]))
        assert key.public_key.to_bytes().hex() == case["pk"]
        ciphertext = bytes.fromhex(case["ct"])
        assert key.decapsulate(ciphertext).hex() == case["ss"]
        ephemeral = bytes.fromhex(case["eseed"])[32:]
        mine, _ = key.public_key.encapsulate(lambda _, ephemeral=ephemeral: ephemeral)  # type: ignore[misc]
        assert mine[1088:] == ciphertext[1088:]
