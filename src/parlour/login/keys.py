"""The keys that come out of a login."""

from __future__ import annotations

from parlour.primitives.secret import Secret


class ExportKey(Secret):
    """64 bytes that only the client knows, the same at each login until the password changes."""

    __slots__ = ()
    SIZE = 64


class SessionKey(Secret):
    """32 bytes that client and server share after one login, bound to its context."""

    __slots__ = ()
    SIZE = 32


class OpaqueKey(Secret):
    """The 64-byte session key of OPAQUE itself. Nothing is used under it but what binds it."""

    __slots__ = ()
    SIZE = 64
