"""Extensions: lists of typed, opaque values.

Spec: RFC 9420 §7.2 (struct), §13.4 (rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from parlour.codec import Reader, Writer, opaque_parts
from parlour.mls.public.limits import MAX_EXTENSIONS
from parlour.mls.public.rules import Rule, require


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension.

    ::

        struct {
            ExtensionType extension_type;
            opaque extension_data<V>;
        } Extension;
    """

    extension_type: int
    extension_data: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(reader.uint16(), reader.opaque())

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return (self.extension_type.to_bytes(2), *opaque_parts(self.extension_data))


@dataclass(frozen=True, slots=True)
class Extensions:
    """`Extension extensions<V>`: in order, one of each type."""

    items: tuple[Extension, ...] = ()

    def __post_init__(self) -> None:
        # V1301 §13.4: "Any field containing a list of extensions MUST NOT have more than one
        # extension of any given type."
        require(
            len({e.extension_type for e in self.items}) == len(self.items), Rule.EXTENSIONS_UNIQUE
        )

    @classmethod
    def of(cls, items: Iterable[Extension]) -> Self:
        """A list of them."""
        return cls(tuple(items))

    @classmethod
    def read(cls, reader: Reader) -> Extensions:
        """Decode a list of at most `MAX_EXTENSIONS`."""
        items = reader.vector(Extension.read, MAX_EXTENSIONS)
        return cls(tuple(items)) if items else NO_EXTENSIONS

    def encode(self) -> bytes:
        """Encode the list with its length."""
        return b"".join(self.parts())

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return opaque_parts(*(part for item in self.items for part in item.parts()))

    def find(self, extension_type: int) -> bytes | None:
        """The data of the extension of that type."""
        for item in self.items:
            if item.extension_type == extension_type:
                return item.extension_data
        return None

    def with_(self, extension: Extension) -> Extensions:
        """This list with one more, or with another value of that type."""
        kept = (e for e in self.items if e.extension_type != extension.extension_type)
        return Extensions.of((*kept, extension))

    @property
    def types(self) -> tuple[int, ...]:
        """The types, in order."""
        return tuple(item.extension_type for item in self.items)

    def __iter__(self) -> Iterator[Extension]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


NO_EXTENSIONS = Extensions()


def write_extensions(writer: Writer, extensions: Extensions) -> None:
    """Put a list into a structure."""
    data = extensions.encode()
    writer.fixed(data, len(data))
