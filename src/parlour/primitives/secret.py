"""A class per secret, none of which shows itself."""

from __future__ import annotations

from typing import ClassVar, Final, Self

from parlour.errors import Code, UsageError
from parlour.primitives.hashes import equal
from parlour.primitives.random import Random, system_random

REDACTED: Final = "[secret]"


class Secret:
    """Secret bytes. Subclass it per role, so that no key is passed where another is wanted.

    `repr`, `str` and `format` are redacted; comparison takes constant time; pickling and hashing
    are refused, because both would let the bytes escape into caches and files unseen.
    """

    __slots__ = ("_value",)

    SIZE: ClassVar[int | None] = None

    def __init__(self, value: bytes) -> None:
        if self.SIZE is not None and len(value) != self.SIZE:
            raise UsageError(Code.USAGE_INVALID, f"{type(self).__name__} has {self.SIZE} bytes")
        self._value = bytes(value)

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh one of `SIZE` bytes."""
        if cls.SIZE is None:
            raise UsageError(Code.USAGE_INVALID, f"{cls.__name__} has no fixed size")
        return cls(random(cls.SIZE))

    def reveal(self) -> bytes:
        """The bytes themselves, for a primitive or for sealed storage. Every call is on purpose."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and equal(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({REDACTED})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise UsageError(Code.USAGE_INVALID, "a secret is not pickled")
