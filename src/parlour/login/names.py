"""How accounts, servers and passwords are spelled before anything is derived from them.

Both sides must come to the same bytes, or the right password would be refused. So each of the
three has one canonical form, and what has none is refused by the sentence that says why.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from parlour.errors import Code, UsageError

# Fits a line of any front door, a file's name and a path of the REST interface.
MAX_ACCOUNT_NAME: Final = 32
# A host name has at most 253 characters (RFC 1035 §2.3.4); a port may follow it.
MAX_SERVER_NAME: Final = 260
# Longer than any passphrase; keeps normalisation of hostile input cheap.
MAX_PASSWORD: Final = 1024

# Begins and ends with a letter or digit: "." and ".." would be folders, "-x" an option.
_ACCOUNT_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_RESERVED: Final = frozenset({"you"})
_SERVER_NAME: Final = re.compile(r"[a-z0-9._:\[\]-]+")
# What RFC 8264 §4.3 leaves out of free-form text: control characters, surrogates, private use
# and code points that this Unicode does not know, whose normal form a later one may change.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Co", "Cn"})


def account_name(text: str) -> str:
    """The canonical name of an account: 1 to 32 of a–z, 0–9, ``.``, ``_``, ``-``, in lower case.

    Only ASCII, so that no two names look alike in another alphabet; the first and the last
    character are a letter or a digit. Raises `UsageError`.
    """
    name = text.lower() if text.isascii() else ""
    if len(name) > MAX_ACCOUNT_NAME or not _ACCOUNT_NAME.fullmatch(name):
        raise UsageError(
            Code.USAGE_INVALID,
            f"an account's name has 1 to {MAX_ACCOUNT_NAME} characters of a-z, 0-9, '.', '_' and "
            "'-', and begins and ends with a letter or a digit",
        )
    return name


def new_account_name(text: str) -> str:
    """The canonical name of an account that is yet to be made, or met.

    Raises `UsageError`, also for what programs call the person in front of them: what somebody of
    that name says would look like one's own.
    """
    name = account_name(text)
    if name in _RESERVED:
        raise UsageError(Code.USAGE_INVALID, f"nobody can be called {name}: choose another name")
    return name


def server_name(text: str) -> str:
    """The canonical name of a server: its host name or address, in lower case, perhaps a port.

    Raises `UsageError`.
    """
    name = text.lower() if text.isascii() else ""
    if len(name) > MAX_SERVER_NAME or not _SERVER_NAME.fullmatch(name):
        raise UsageError(
            Code.USAGE_INVALID, "a server's name is a host name or an address, perhaps with a port"
        )
    return name


def password_bytes(password: str) -> bytes:
    """The canonical bytes of a password: Unicode's NFC in UTF-8, other spaces made U+0020.

    Two keyboards write "é" as one code point or as two, and both must open the account.

    Spec: RFC 8265 §4.2 (OpaqueString). Raises `UsageError` for an empty password, one of more
    than 1,024 characters, and characters outside that profile.
    """
    if not 0 < len(password) <= MAX_PASSWORD:
        raise UsageError(Code.USAGE_INVALID, f"a password has 1 to {MAX_PASSWORD} characters")
    categories = [unicodedata.category(character) for character in password]
    if not _REFUSED_CATEGORIES.isdisjoint(categories):
        raise UsageError(
            Code.USAGE_INVALID, "the password holds a control character or one unknown here"
        )
    spaced = "".join(
        " " if category == "Zs" else character
        for character, category in zip(password, categories, strict=True)
    )
    return unicodedata.normalize("NFC", spaced).encode()
