"""The private halves that a device keeps of its prekeys, by how long they live.

Spec: X3DH §3.2, §4.2; PQXDH §3.2, §4.2.
"""

from __future__ import annotations

from typing import Generic, Self, TypeAlias, TypeVar

from parlour.codec import Reader, Writer
from parlour.double_ratchet import limits
from parlour.double_ratchet.prekeys import PrekeyKind
from parlour.errors import Code, PeerError
from parlour.primitives.agreement import X25519_SIZE, X25519PrivateKey
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.kem import MLKEM_SEED_SIZE, MlKem1024PrivateKey
from parlour.primitives.random import Random

Key = TypeVar("Key", X25519PrivateKey, MlKem1024PrivateKey)
PrekeyContent: TypeAlias = tuple[PrekeyKind, int, int, bytes]
"""Kind, id, expiry and public key: what `Prekey.content` encodes."""


class OneTimePrekeys(Generic[Key]):
    """The unused one-time prekeys of one kind, oldest first.

    Key objects are made when they are needed: 200 of them would cost 20 ms at each start.
    """

    __slots__ = ("_keys", "erased_below", "kind", "make", "published_below", "secrets", "size")

    def __init__(self, kind: PrekeyKind, make: type[Key], size: int) -> None:
        self.kind = kind
        self.make: type[Key] = make
        self.size = size
        self.secrets: dict[int, tuple[int, bytes]] = {}  # id: (expiry, private bytes)
        self.published_below = 0
        # Ids below it that are not here were erased for their age, not for their use.
        self.erased_below = 0
        self._keys: dict[int, Key] = {}

    def add(self, id_: int, expiry: int, random: Random) -> None:
        """Make one more key."""
        secret = random(self.size)
        self._keys[id_] = self.make(secret)
        self.secrets[id_] = (expiry, secret)

    def key(self, id_: int, next_id: int) -> Key:
        """The key of that id; `next_id` is the first that was not issued."""
        made = self._keys.get(id_)
        if made is not None:
            return made
        found = self.secrets.get(id_)
        if found is not None:
            return self._keys.setdefault(id_, self.make(found[1]))
        if not 0 < id_ < next_id:
            raise PeerError(Code.PREKEY_UNKNOWN, self.kind.name)
        code = Code.PREKEY_EXPIRED if id_ < self.erased_below else Code.PREKEY_REUSED
        raise PeerError(code, self.kind.name)

    def unpublished(self) -> list[PrekeyContent]:
        """The oldest that the server does not have yet."""
        ids = [id_ for id_ in self.secrets if id_ >= self.published_below]
        return [
            (self.kind, id_, self.secrets[id_][0], self.key(id_, 0).public_key.to_bytes())
            for id_ in ids[: limits.MAX_PUBLISHED]
        ]

    def erase(self, id_: int) -> None:
        """Forget a key that was used; nothing if it is not of this kind."""
        self.secrets.pop(id_, None)
        self._keys.pop(id_, None)

    def erase_old(self, now: int) -> None:
        """Erase what nobody may use any more, and the oldest of too many."""
        surplus = len(self.secrets) - limits.MAX_ONE_TIME_KEPT
        for place, (id_, (expiry, _)) in enumerate(list(self.secrets.items())):
            if place >= surplus and expiry + limits.RETENTION_PERIOD > now:
                break
            self.erase(id_)
            self.erased_below = id_ + 1

    def write(self, writer: Writer) -> None:
        """Write the keys with both marks."""

        def write_one(inner: Writer, item: tuple[int, tuple[int, bytes]]) -> None:
            inner.uint32(item[0]).uint64(item[1][0]).fixed(item[1][1], self.size)

        writer.uint32(self.published_below).uint32(self.erased_below)
        writer.vector(self.secrets.items(), write_one)

    def read(self, reader: Reader) -> None:
        """Read what `write` wrote."""

        def read_one(inner: Reader) -> tuple[int, tuple[int, bytes]]:
            return inner.uint32(), (inner.uint64(), inner.fixed(self.size))

        self.published_below, self.erased_below = reader.uint32(), reader.uint32()
        self.secrets = dict(reader.vector(read_one))


class Generation:
    """One signed prekey with its last-resort KEM prekey, and the first messages under them."""

    __slots__ = ("created_at", "kem", "kem_id", "remembered", "replaced_at", "signed", "signed_id")

    def __init__(
        self,
        created_at: int,
        signed_id: int,
        signed: X25519PrivateKey,
        kem_id: int,
        kem: MlKem1024PrivateKey | None,
    ) -> None:
        self.created_at = created_at
        self.replaced_at: int | None = None
        self.signed_id = signed_id
        self.signed = signed
        self.kem_id = kem_id
        self.kem = kem
        self.remembered: set[bytes] = set()

    def write(self, writer: Writer) -> None:
        """Write it with what is remembered."""
        writer.uint64(self.created_at).optional(self.replaced_at, Writer.uint64)
        writer.uint32(self.signed_id).fixed(self.signed.to_bytes(), X25519_SIZE)
        writer.uint32(self.kem_id).optional(
            self.kem, lambda inner, key: inner.fixed(key.to_bytes(), MLKEM_SEED_SIZE)
        )
        writer.vector(sorted(self.remembered), lambda inner, item: inner.fixed(item, SHA256_SIZE))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote."""
        created_at, replaced_at = reader.uint64(), reader.optional(Reader.uint64)
        signed_id, signed = reader.uint32(), X25519PrivateKey(reader.fixed(X25519_SIZE))
        kem_id = reader.uint32()
        kem = reader.optional(lambda inner: MlKem1024PrivateKey(inner.fixed(MLKEM_SEED_SIZE)))
        generation = cls(created_at, signed_id, signed, kem_id, kem)
        generation.replaced_at = replaced_at
        generation.remembered = set(
            reader.vector(lambda inner: inner.fixed(SHA256_SIZE), limits.MAX_REMEMBERED)
        )
        return generation
