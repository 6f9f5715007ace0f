"""Hashes against FIPS 180-4 and FIPS 202, HMAC against RFC 4231."""

from collections.abc import Callable

import pytest

from parlour.primitives import hashes


@pytest.mark.parametrize(
    ("function", "digest"),
    [
        (hashes.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            hashes.sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
            "8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            hashes.sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (hashes.sha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        (
            lambda data: hashes.shake256(data, 32),
            "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739",
        ),
    ],
)
def test_the_hash_of_abc(function: Callable[[bytes], bytes], digest: str) -> None:
    assert function(b"abc").hex() == digest


@pytest.mark.parametrize(
    ("function", "tag"),
    [
        (hashes.hmac_sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            hashes.hmac_sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
            "8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            hashes.hmac_sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ],
)
def test_rfc_4231_case_2(function: Callable[[bytes, bytes], bytes], tag: str) -> None:
    assert function(b"Jefe", b"what do ya want for nothing?").hex() == tag


def test_comparison() -> None:
    assert hashes.equal(b"same", b"same")
    assert not hashes.equal(b"same", b"sama")
    assert not hashes.equal(b"same", b"same!")
