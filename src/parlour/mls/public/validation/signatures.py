"""Signatures, many at a time.

The primitives let other threads run while they verify, so whoever has threads passes the `map` of
an executor; this package starts none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from parlour.codec import encode_opaque
from parlour.errors import AuthenticationError
from parlour.mls.public.rules import Rule, RuleBroken
from parlour.mls.public.suites import CipherSuite
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import SignaturePublicKey

T = TypeVar("T")
R = TypeVar("R")

# Messages of the last minutes; two for each leaf of the largest groups. At about 100 bytes each.
_MAX_REMEMBERED: Final = 8_192
# Of a batch, what one thread takes at a time: 4 ms of Ed25519, far more than a switch costs.
_CHUNK: Final = 64


class Run(Protocol):
    """The builtin `map`, or the `map` of an executor."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """Apply `function` to each item, in order."""
        ...


class SignatureMemo:
    """Signatures that have verified, by hash: for who meets them again, alone or with others."""

    __slots__ = ("_verified",)

    def __init__(self) -> None:
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    def verify_with_label(
        self,
        suite: CipherSuite,
        key: SignaturePublicKey,
        label: bytes,
        signature: bytes,
        *content: bytes,
    ) -> bool:
        """As the suite's, unless the same was verified before."""
        digest = _digest(key, signature, suite.sign_content(label, *content))
        if digest in self._verified:
            return True
        verified = suite.verify_with_label(key, label, signature, *content)
        if verified:
            self._keep(digest)
        return verified

    def verify_all(self, checks: list[SignatureCheck], run: Run) -> None:
        """As `verify_signatures`, without those that were verified before."""
        digests = [_digest(check.key, check.signature, check.data) for check in checks]
        known = self._verified
        new = [check for check, d in zip(checks, digests, strict=True) if d not in known]
        verify_signatures(new, run)
        for digest in digests:
            self._keep(digest)

    def _keep(self, digest: bytes) -> None:
        self._verified[digest] = None
        if len(self._verified) > _MAX_REMEMBERED:
            self._verified.popitem(last=False)


def _digest(key: SignaturePublicKey, signature: bytes, data: bytes) -> bytes:
    return sha256(encode_opaque(key.to_bytes()) + encode_opaque(signature) + data)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """A signature that has yet to be verified, and the rule that is broken if it does not."""

    key: SignaturePublicKey
    data: bytes
    signature: bytes
    rule: Rule
    detail: str = ""


def _first_broken(checks: list[SignatureCheck]) -> SignatureCheck | None:
    for check in checks:
        try:
            check.key.verify(check.signature, check.data)
        except AuthenticationError:
            return check
    return None


def verify_signatures(
    checks: list[SignatureCheck], run: Run = map, memo: SignatureMemo | None = None
) -> None:
    """Verify all of them, or raise `RuleBroken` for the first that does not."""
    if memo is not None:
        memo.verify_all(checks, run)
        return
    chunks = [checks[i : i + _CHUNK] for i in range(0, len(checks), _CHUNK)]
    for broken in run(_first_broken, chunks):
        if broken is not None:
            raise RuleBroken(broken.rule, broken.detail)
