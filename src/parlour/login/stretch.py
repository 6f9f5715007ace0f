"""Make a password expensive to guess before OPAQUE sees it.

The stretching inside our OPAQUE library is fixed at 19 MiB and cannot be raised. This one comes
first and costs 128 MiB and three passes. Its salt names the server and the user, so nobody can
prepare one table for many; and since OPAQUE's OPRF then runs over a value bound to both, the
same password elsewhere is another one (RFC 9807 §9.1 recommends both).
"""

from __future__ import annotations

from typing import Final

from parlour.codec import Writer
from parlour.login import labels
from parlour.login.names import account_name, password_bytes, server_name
from parlour.primitives.hashes import sha256
from parlour.primitives.kdf import Argon2Cost, argon2id
from parlour.primitives.secret import Secret

# Twice the memory of RFC 9106's second recommended option, at its three passes: about half a
# second on a small machine. One lane, because a guesser has lanes enough and a phone has not.
STRETCH_COST: Final = Argon2Cost(memory_kib=128 * 1024, passes=3, lanes=1)


class Stretched(Secret):
    """What OPAQUE takes for the password: 32 bytes."""

    __slots__ = ()
    SIZE = 32


def stretch_salt(*, server: str, user: str) -> bytes:
    """The 32 bytes of salt for this user of this server."""
    fields = Writer().opaque(labels.STRETCH)
    fields.opaque(server_name(server).encode()).opaque(account_name(user).encode())
    return sha256(fields.data())


def stretch(password: str, *, server: str, user: str, cost: Argon2Cost = STRETCH_COST) -> Stretched:
    """Stretch `password` by Argon2id for `user` of `server`.

    Slow by design (half a second, 128 MiB): call it in a worker thread. `cost` is part of the
    protocol: another one gives another value, and the account does not open. Raises `UsageError`
    for a password or a name that has no canonical form.

    Spec: RFC 9106.
    """
    salt = stretch_salt(server=server, user=user)
    return Stretched(
        argon2id(password_bytes(password), salt=salt, cost=cost, length=Stretched.SIZE)
    )
