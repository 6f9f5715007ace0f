"""RFC 9497, mode OPRF of ristretto255-SHA512, by the reference of the interop tests."""

from typing import Any

import pytest

from tests.conftest import load_vector

pytest.importorskip(
    "rbcl", reason="rbcl (ristretto255 for the reference) can not be loaded", exc_type=ImportError
)

from tests.interop.opaque_reference.group import Scalar, decode_element
from tests.interop.opaque_reference.oprf import blind, derive_key_pair, evaluate, finalize

(SUITE,) = (
    suite
    for suite in load_vector("voprf/allVectors.json")
    if suite["identifier"] == "ristretto255-SHA512" and suite["mode"] == 0
)


def test_the_key_is_derived_from_its_seed() -> None:
    pair = derive_key_pair(bytes.fromhex(SUITE["seed"]), bytes.fromhex(SUITE["keyInfo"]))
    assert pair.private.hex() == SUITE["skSm"]


@pytest.mark.parametrize("vector", SUITE["vectors"], ids=lambda vector: vector["Input"][:8])
def test_evaluation(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["Input"])
    blinding = Scalar(bytes.fromhex(vector["Blind"]))
    blinded = blind(message, blinding)
    assert blinded.hex() == vector["BlindedElement"]
    evaluated = evaluate(Scalar(bytes.fromhex(SUITE["skSm"])), blinded)
    assert evaluated.hex() == vector["EvaluationElement"]
    output = finalize(message, blinding, decode_element(evaluated))
    assert output.hex() == vector["Output"]
