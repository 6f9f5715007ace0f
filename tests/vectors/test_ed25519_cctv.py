"""Which of the signatures that implementations disagree about this one accepts.

C2SP/CCTV lists 914 signatures around points of small order and points with two spellings. What
OpenSSL does, and what we do with it:

- The equation is the one without the cofactor: a signature whose two sides differ by a point of
  small order (`low_order_residue`) is refused. Batch verification, which needs the other equation,
  is therefore not for us.
- R is compared as bytes: another spelling of it (`non_canonical_R`) is refused.
- OpenSSL takes public keys of small order, under which one signature can fit many messages, and
  public keys in a second spelling. We refuse the first (`low_order_A`), and with them the second:
  nobody can know the private key of any other point that has two spellings.
"""

from collections import Counter

from parlour.errors import AuthenticationError, Code
from parlour.primitives.signature import Ed25519PublicKey
from tests.conftest import load_vector


def outcome(case: dict[str, str]) -> str:
    try:
        key = Ed25519PublicKey(bytes.fromhex(case["key"]))
        key.verify(bytes.fromhex(case["sig"]), case["msg"].encode())
    except AuthenticationError as error:
        return error.code
    return "accepted"


def expected(flags: frozenset[str]) -> str:
    if "low_order_A" in flags:
        return Code.CRYPTO_KEY
    if "low_order_residue" in flags or "non_canonical_R" in flags:
        return Code.CRYPTO_SIGNATURE
    return "accepted"


def test_which_signatures_are_accepted() -> None:
    count: Counter[str] = Counter()
    for case in load_vector("ed25519-cctv/ed25519vectors.json"):
        flags = frozenset(case["flags"] or ())
        result = outcome(case)
        assert result == expected(flags), case
        assert not ("non_canonical_A" in flags and result == "accepted")
        count[result] += 1
    assert count == {"accepted": 86, Code.CRYPTO_KEY: 526, Code.CRYPTO_SIGNATURE: 302}
