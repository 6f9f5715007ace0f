"""A device's own prekeys with their private halves: issue, rotate, look up, erase.

Spec: X3DH §3.2, §4.2, §4.6; PQXDH §3.2, §4.2, §4.6.

The signed X25519 prekey and the last-resort KEM prekey live and rotate together, as one
`Generation`. One-time prekeys come in batches. All ids come from one counter that only grows, so
that an id that was issued and is gone is told from one that never was, in constant memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from parlour.codec import Reader, Writer
from parlour.double_ratchet import limits, merkle
from parlour.double_ratchet.identity import ID_SIZE, LocalDevice
from parlour.double_ratchet.messages import FirstHeader, KemPart
from parlour.double_ratchet.own_prekeys import Generation, Key, OneTimePrekeys, PrekeyContent
from parlour.double_ratchet.prekeys import Prekey, PrekeyKind, signed_content
from parlour.errors import Code, DecodeError, LimitError, PeerError
from parlour.primitives.agreement import X25519_SIZE, X25519PrivateKey
from parlour.primitives.kem import MLKEM_SEED_SIZE, MlKem1024PrivateKey
from parlour.primitives.random import Random

STORE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class PrekeyUpload:
    """What a device gives the server: it replaces the signed ones and adds the one-time ones."""

    signed_prekey: Prekey
    last_resort: Prekey | None
    one_time: tuple[Prekey, ...]
    one_time_kem: tuple[Prekey, ...]

    @property
    def prekeys(self) -> tuple[Prekey, ...]:
        """All of them."""
        last_resort = () if self.last_resort is None else (self.last_resort,)
        return (self.signed_prekey, *last_resort, *self.one_time, *self.one_time_kem)


@dataclass(frozen=True, slots=True)
class PrekeySecrets:
    """The private keys that a first message names. Nothing is used up until `consume`."""

    header: FirstHeader
    session_id: bytes
    signed: X25519PrivateKey
    one_time: X25519PrivateKey | None
    kem: MlKem1024PrivateKey | None

    def __repr__(self) -> str:
        return "PrekeySecrets([secret])"


class PrekeyStore:
    """All prekeys of one device. Time (`now`) is in seconds since the epoch."""

    __slots__ = ("_generations", "_local", "_next_id", "_one_time", "_one_time_kem")

    def __init__(self, local: LocalDevice) -> None:
        self._local = local
        self._next_id = 1
        self._generations: list[Generation] = []  # the current one first
        self._one_time = OneTimePrekeys(PrekeyKind.X25519_ONE_TIME, X25519PrivateKey, X25519_SIZE)
        self._one_time_kem = OneTimePrekeys(
            PrekeyKind.MLKEM1024_ONE_TIME, MlKem1024PrivateKey, MLKEM_SEED_SIZE
        )

    @classmethod
    def create(cls, local: LocalDevice, now: int, random: Random) -> Self:
        """Make the first signed prekeys and a batch of one-time prekeys of each kind."""
        store = cls(local)
        store.maintain(now, random, one_time_left=0, one_time_kem_left=0)
        return store

    # --- Issue and erase ---

    def maintain(
        self,
        now: int,
        random: Random,
        *,
        one_time_left: int | None = None,
        one_time_kem_left: int | None = None,
    ) -> bool:
        """Rotate, refill and erase what is due; whether there is something to publish.

        `one_time_left` and `one_time_kem_left` are the server's counts, when they are known. Call
        it at each start and daily.
        """
        rotated = self._rotate(now, random)
        self._refill(self._one_time, one_time_left, now, random)
        if self._local.identity.has_kem:
            self._refill(self._one_time_kem, one_time_kem_left, now, random)
        return rotated or self._has_unpublished

    def _rotate(self, now: int, random: Random) -> bool:
        self._generations = [
            generation
            for generation in self._generations
            if generation.replaced_at is None
            or generation.replaced_at + limits.RETENTION_PERIOD > now
        ]
        if self._generations:
            current = self._generations[0]
            due = current.created_at + limits.ROTATION_PERIOD <= now
            crowded = 2 * len(current.remembered) >= limits.MAX_REMEMBERED
            if not due and not (crowded and len(self._generations) < limits.MAX_GENERATIONS):
                return False
            current.replaced_at = now
        has_kem = self._local.identity.has_kem
        generation = Generation(
            now,
            self._new_id(),
            X25519PrivateKey.generate(random),
            self._new_id() if has_kem else 0,
            MlKem1024PrivateKey.generate(random) if has_kem else None,
        )
        self._generations = [generation, *self._generations][: limits.MAX_GENERATIONS]
        return True

    def _refill(
        self, keys: OneTimePrekeys[Key], left: int | None, now: int, random: Random
    ) -> None:
        if left is not None and left < limits.REFILL_BELOW:
            for _ in range(limits.ONE_TIME_BATCH):
                keys.add(self._new_id(), now + limits.PREKEY_LIFETIME, random)
        keys.erase_old(now)

    def _new_id(self) -> int:
        if self._next_id > limits.MAX_PREKEY_ID:
            raise LimitError(Code.LIMIT_COUNT, "prekey ids are used up: make a new device")
        self._next_id += 1
        return self._next_id - 1

    # --- Publish ---

    @property
    def _has_unpublished(self) -> bool:
        # Ids grow, so the newest tells.
        return any(
            next(reversed(keys.secrets), 0) >= max(keys.published_below, 1)
            for keys in (self._one_time, self._one_time_kem)
        )

    def publish(self) -> PrekeyUpload:
        """The current signed prekeys and the one-time prekeys that the server does not have yet.

        The same until `mark_published`, so it can be sent again when the answer was lost.
        """
        generation = self._generations[0]
        expiry = generation.created_at + limits.PREKEY_LIFETIME
        signed = generation.signed.public_key.to_bytes()
        contents = [(PrekeyKind.X25519_SIGNED, generation.signed_id, expiry, signed)]
        if generation.kem is not None:
            kem = generation.kem.public_key.to_bytes()
            contents.append((PrekeyKind.MLKEM1024_LAST_RESORT, generation.kem_id, expiry, kem))
        contents += self._one_time.unpublished() + self._one_time_kem.unpublished()
        prekeys = self._sign(contents)
        last_resort = [p for p in prekeys if p.kind is PrekeyKind.MLKEM1024_LAST_RESORT]
        return PrekeyUpload(
            prekeys[0],
            last_resort[0] if last_resort else None,
            tuple(p for p in prekeys if p.kind is PrekeyKind.X25519_ONE_TIME),
            tuple(p for p in prekeys if p.kind is PrekeyKind.MLKEM1024_ONE_TIME),
        )

    def _sign(self, contents: list[PrekeyContent]) -> list[Prekey]:
        root, paths = merkle.build([merkle.leaf_hash(Prekey.content(*item)) for item in contents])
        signature = self._local.signature_key.sign(signed_content(root))
        return [
            Prekey(*content, index, path, signature)
            for index, (content, path) in enumerate(zip(contents, paths, strict=True))
        ]

    def mark_published(self, upload: PrekeyUpload) -> None:
        """The server has confirmed `upload`."""
        for keys, prekeys in (
            (self._one_time, upload.one_time),
            (self._one_time_kem, upload.one_time_kem),
        ):
            below = max((prekey.id + 1 for prekey in prekeys), default=0)
            keys.published_below = max(keys.published_below, below)

    # --- Use ---

    def find(self, header: FirstHeader) -> PrekeySecrets:
        """The private keys that the first message with `header` names; nothing is changed.

        Raises:
            PeerError: the message was read before (`SESSION_REPLAYED`), or a key is used up
                (`PREKEY_REUSED`), erased (`PREKEY_EXPIRED`) or was never issued.
            LimitError: too many first messages under last-resort keys.
        """
        generation = self._generation(header.signed_prekey_id)
        session_id = header.session_id()
        if session_id in generation.remembered:
            raise PeerError(Code.SESSION_REPLAYED, "a first message")
        if _is_replayable(header) and len(generation.remembered) >= limits.MAX_REMEMBERED:
            raise LimitError(Code.LIMIT_COUNT, "first messages without one-time prekeys")
        one_time = None
        if header.one_time_prekey_id is not None:
            one_time = self._key(self._one_time, header.one_time_prekey_id)
        kem = None if header.kem is None else self._kem_key(header.kem)
        return PrekeySecrets(header, session_id, generation.signed, one_time, kem)

    def _generation(self, signed_id: int) -> Generation:
        for generation in self._generations:
            if generation.signed_id == signed_id:
                return generation
        known = 0 < signed_id < self._next_id
        raise PeerError(Code.PREKEY_EXPIRED if known else Code.PREKEY_UNKNOWN, "signed prekey")

    def _kem_key(self, part: KemPart) -> MlKem1024PrivateKey:
        if part.kind is PrekeyKind.MLKEM1024_ONE_TIME:
            return self._key(self._one_time_kem, part.id)
        for generation in self._generations:
            if generation.kem is not None and generation.kem_id == part.id:
                return generation.kem
        known = 0 < part.id < self._next_id
        raise PeerError(Code.PREKEY_EXPIRED if known else Code.PREKEY_UNKNOWN, "last resort")

    def _key(self, keys: OneTimePrekeys[Key], id_: int) -> Key:
        return keys.key(id_, self._next_id)

    def consume(self, secrets: PrekeySecrets) -> None:
        """Erase the one-time keys that a first message used; remember it if it could come again.

        Cannot fail: it is called when the message has verified and everything else is ready.
        """
        header = secrets.header
        if header.one_time_prekey_id is not None:
            self._one_time.erase(header.one_time_prekey_id)
        if header.kem is not None:
            self._one_time_kem.erase(header.kem.id)
        if _is_replayable(header):
            self._generation(header.signed_prekey_id).remembered.add(secrets.session_id)

    # --- Storage ---

    def to_bytes(self) -> bytes:
        """Encode, with all private halves, for sealed storage."""
        writer = Writer().uint8(STORE_VERSION).fixed(self._local.identity.device_id, ID_SIZE)
        writer.uint32(self._next_id)
        writer.vector(self._generations, lambda inner, generation: generation.write(inner))
        self._one_time.write(writer)
        self._one_time_kem.write(writer)
        return writer.data()

    @classmethod
    def from_bytes(cls, data: bytes, local: LocalDevice) -> Self:
        """Decode what `to_bytes` of the same device gave."""
        reader = Reader(data)
        if reader.uint8() != STORE_VERSION:
            raise DecodeError(Code.DECODE_VERSION, "prekey store")
        if reader.fixed(ID_SIZE) != local.identity.device_id:
            raise DecodeError(Code.DECODE_MALFORMED, "prekeys of another device")
        store = cls(local)
        store._next_id = reader.uint32()
        store._generations = reader.vector(Generation.read, limits.MAX_GENERATIONS)
        if not store._generations:
            raise DecodeError(Code.DECODE_MALFORMED, "no signed prekey")
        store._one_time.read(reader)
        store._one_time_kem.read(reader)
        reader.finish()
        return store

    def __repr__(self) -> str:
        return f"PrekeyStore(device={self._local.identity.device_id.hex()})"


def _is_replayable(header: FirstHeader) -> bool:
    """Whether no erased one-time key of the strongest kind in use refuses a copy by itself."""
    if header.kem is None:
        return header.one_time_prekey_id is None
    return header.kem.kind is PrekeyKind.MLKEM1024_LAST_RESORT
