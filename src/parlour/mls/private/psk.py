"""Pre-shared keys: where they are found, and how they enter the key schedule.

Spec: RFC 9420 §8.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self, TypeAlias

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.private.secrets import ExternalPsk, PskSecret, ResumptionPsk
from parlour.mls.public.proposals import PreSharedKey, Proposal
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.rules import Rule, RuleBroken
from parlour.mls.public.suites import CipherSuite
from parlour.primitives.random import Random

# §8.6: "The application SHOULD specify an upper limit on the number of past epochs for which the
# `resumption_psk` may be stored." As many as late messages may come from.
MAX_RESUMPTION_EPOCHS: Final = 5
_STORED_VERSION: Final = 1

Psk: TypeAlias = ExternalPsk | ResumptionPsk


class PskStore:
    """The pre-shared keys that an application holds. One store may serve many groups.

    Of each group the keys of the last `resumption_epochs` are kept; without any, no group can
    follow another.
    """

    __slots__ = ("_external", "_keep", "_resumption")

    def __init__(self, resumption_epochs: int = MAX_RESUMPTION_EPOCHS) -> None:
        if not 0 <= resumption_epochs < 1 << 16:
            raise UsageError(Code.USAGE_INVALID, "from 0 to 65,535 epochs are kept")
        self._keep = resumption_epochs
        self._external: dict[bytes, ExternalPsk] = {}
        self._resumption: dict[bytes, dict[int, ResumptionPsk]] = {}

    def add_external(self, psk_id: bytes, key: ExternalPsk) -> None:
        """Know an external key by its name."""
        self._external[psk_id] = key

    def remove_external(self, psk_id: bytes) -> None:
        """Forget it."""
        self._external.pop(psk_id, None)

    def add_resumption(self, group_id: bytes, epoch: int, key: ResumptionPsk) -> None:
        """Know the key of an epoch, and forget the oldest of the group beyond those to keep."""
        epochs = {**self._resumption.get(group_id, {}), epoch: key}
        kept = sorted(epochs, reverse=True)[: self._keep]
        self._resumption[group_id] = {number: epochs[number] for number in kept}

    def remove_group(self, group_id: bytes) -> None:
        """Forget all resumption keys of a group."""
        self._resumption.pop(group_id, None)

    def find(self, psk: PreSharedKeyId) -> Psk | None:
        """The key of that name."""
        if isinstance(psk.key, ExternalPskId):
            return self._external.get(psk.key.psk_id)
        return self._resumption.get(psk.key.psk_group_id, {}).get(psk.key.psk_epoch)

    def to_bytes(self) -> bytes:
        """For sealed storage, beside the groups: a commit may name the key of an earlier epoch."""
        writer = Writer().uint8(_STORED_VERSION).uint16(self._keep)
        writer.vector(sorted(self._external.items()), _write_external)
        return writer.vector(sorted(self._resumption.items()), _write_epochs).data()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        if reader.uint8() != _STORED_VERSION:
            raise DecodeError(Code.DECODE_VERSION, "PskStore")
        store = cls(reader.uint16())
        store._external = dict(reader.vector(_read_external))
        store._resumption = dict(reader.vector(_read_epochs))
        return store

    def __repr__(self) -> str:
        return f"PskStore({len(self._external)} external, {len(self._resumption)} groups)"


def _write_external(writer: Writer, entry: tuple[bytes, ExternalPsk]) -> None:
    writer.opaque(entry[0]).opaque(entry[1].reveal())


def _read_external(reader: Reader) -> tuple[bytes, ExternalPsk]:
    return reader.opaque(), ExternalPsk(reader.opaque())


def _write_epochs(writer: Writer, entry: tuple[bytes, dict[int, ResumptionPsk]]) -> None:
    group_id, epochs = entry
    writer.opaque(group_id).vector(
        sorted(epochs.items()), lambda w, epoch: w.uint64(epoch[0]).opaque(epoch[1].reveal())
    )


def _read_epochs(reader: Reader) -> tuple[bytes, dict[int, ResumptionPsk]]:
    group_id = reader.opaque()
    return group_id, dict(reader.vector(lambda r: (r.uint64(), ResumptionPsk(r.opaque()))))


def fresh_psk_id(psk_id: PreSharedKeyId, suite: CipherSuite, random: Random) -> PreSharedKeyId:
    """The same key under a nonce that was never used.

    §8.4: "Each time a client injects a PSK into a group, the `psk_nonce` of its PreSharedKeyID MUST
    be set to a fresh random value".
    """
    return PreSharedKeyId(psk_id.key, random(suite.hash_size))


def with_fresh_nonce(proposal: Proposal, suite: CipherSuite, random: Random) -> Proposal:
    """A proposal of our own as it is, or with another nonce if it injects a key."""
    if isinstance(proposal, PreSharedKey):
        return PreSharedKey(fresh_psk_id(proposal.psk, suite, random))
    return proposal


def derive_psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyId, Psk]]) -> PskSecret:
    """`psk_secret` of all keys in order; zeros if there are none."""
    secret = suite.zero
    for index, (psk_id, psk) in enumerate(psks):
        extracted = suite.extract(suite.zero, psk.reveal())
        # PSKLabel: the id, the index, the count.
        label = psk_id.encode() + index.to_bytes(2) + len(psks).to_bytes(2)
        derived = suite.expand_with_label(extracted, b"derived psk", label, suite.hash_size)
        secret = suite.extract(derived, secret)
    return PskSecret(secret)


def find_commit_psks(
    suite: CipherSuite, store: PskStore, psks: Sequence[PreSharedKeyId]
) -> PskSecret:
    """The `psk_secret` of a commit that injects these keys."""
    # V1235 §12.4.2: "Verify that all PreSharedKey proposals in the `proposals` vector are
    # available."
    return derive_psk_secret(suite, _find(store, psks, Rule.COMMIT_PSKS_KNOWN))


def find_welcome_psks(
    suite: CipherSuite, store: PskStore, psks: Sequence[PreSharedKeyId]
) -> PskSecret:
    """The `psk_secret` of the epoch that a Welcome leads into."""
    # V1256 §12.4.3.1: "If a PreSharedKeyID is part of the GroupSecrets and the client is not in
    # possession of the corresponding PSK, return an error."
    return derive_psk_secret(suite, _find(store, psks, Rule.WELCOME_PSKS_KNOWN))


def _find(
    store: PskStore, psks: Sequence[PreSharedKeyId], rule: Rule
) -> list[tuple[PreSharedKeyId, Psk]]:
    found = []
    for psk_id in psks:
        psk = store.find(psk_id)
        if psk is None:
            raise RuleBroken(rule)
        found.append((psk_id, psk))
    return found
