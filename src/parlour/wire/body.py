"""What every body is: an array of its fields, that never shows what it holds.

Bodies carry tokens, vaults, invite secrets, OPAQUE messages and names. A log line, a traceback or
a debugger prints values by `repr`; a body prints its shape instead, whatever its fields are, so
that no new field can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


def _shape(value: object) -> str:
    """Numbers and nested bodies as they are; of everything else the size."""
    if value is None or isinstance(value, int | Body):
        return repr(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if isinstance(value, str):
        return f"[{len(value)} characters]"
    if isinstance(value, list):
        return f"[{len(value)} items]"
    return f"[{type(value).__name__}]"


class Body(Struct, array_like=True, frozen=True):
    """The base of all bodies: a redacted `repr`, and with it `str` and `format`."""

    def __repr__(self) -> str:
        fields = (f"{name}={_shape(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(fields)})"

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        """The same for rich, which would ask each field for its own."""
        for name in self.__struct_fields__:
            yield name, _shape(getattr(self, name))
