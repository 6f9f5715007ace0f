"""Signal's numeric fingerprint, on the values that its implementation publishes."""

from typing import Any

import pytest

from parlour.transparency.fingerprint import digits, numeric_fingerprint
from tests.conftest import load_vector

SIGNAL_VERSION = 0


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    values: dict[str, Any] = load_vector("signal/libsignal_values.json")["numeric_fingerprint"]
    return values


def fingerprint(vector: dict[str, Any], who: str) -> bytes:
    return numeric_fingerprint(
        bytes.fromhex(vector[f"{who}_identity"]),
        vector[f"{who}_id"].encode(),
        version=SIGNAL_VERSION,
        iterations=vector["iterations"],
    )


def test_the_digits_are_signals(vector: dict[str, Any]) -> None:
    halves = sorted(digits(fingerprint(vector, who)) for who in ("alice", "bob"))
    assert "".join(halves) == vector["displayable"]


def test_the_fingerprints_are_those_of_signals_code(vector: dict[str, Any]) -> None:
    # A protobuf of the version and two nested messages of 32 bytes each: own, then the other's.
    code = bytes.fromhex(vector["alice_scannable_v1"])
    assert code[6:38] == fingerprint(vector, "alice")
    assert code[42:74] == fingerprint(vector, "bob")
    assert len(code) == 74
