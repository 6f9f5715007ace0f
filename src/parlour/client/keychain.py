"""A key in the keychain of the operating system, through the optional package `keyring`.

The backend is named by the person, never chosen by the package: its own choice may be one that
writes plain text to a file or keeps nothing. So only keychains that encrypt are known here.

All of it may wait for a daemon or a dialogue: call it by `workers.run_slow`.
"""

from __future__ import annotations

import base64
import binascii
import importlib
from typing import Any, Final

from parlour.client.keys import WrappingKey
from parlour.errors import AccessError, Code, UsageError

SERVICE: Final = "parlour"

BACKENDS: Final[dict[str, str]] = {
    "secret-service": "keyring.backends.SecretService.Keyring",
    "libsecret": "keyring.backends.libsecret.Keyring",
    "kwallet": "keyring.backends.kwallet.DBusKeyring",
    "macos": "keyring.backends.macOS.Keyring",
    "windows": "keyring.backends.Windows.WinVaultKeyring",
}
"""The backends by the name that people choose them by."""


class Keychain:
    """One backend of the system's keychain, which holds a wrapping key per home."""

    def __init__(self, name: str, backend: Any) -> None:
        self.name = name
        self._backend = backend

    @classmethod
    def open(cls, name: str) -> Keychain:
        """Open the backend of that name.

        Raises `USAGE_INVALID` for a name that is not in `BACKENDS`, `STORE_KEYCHAIN` when the
        package or the system does not offer it.
        """
        if name not in BACKENDS:
            known = ", ".join(sorted(BACKENDS))
            raise UsageError(Code.USAGE_INVALID, f"a keychain is one of: {known}")
        module, _, kind = BACKENDS[name].rpartition(".")
        try:
            backend_class = getattr(importlib.import_module(module), kind)
            # Raises where the system has no such keychain: viability is a property of the class.
            _ = backend_class.priority
            return cls(name, backend_class())
        except Exception as error:
            raise AccessError(Code.STORE_KEYCHAIN, f"{name} is not available") from error

    def get(self, item: str) -> WrappingKey:
        """The key of that item; raises `STORE_KEYCHAIN` when it is not there or stays locked."""
        try:
            text = self._backend.get_password(SERVICE, item)
        except Exception as error:
            raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} gives no key") from error
        if text is None:
            raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} holds no key of this folder")
        try:
            return WrappingKey(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, UsageError):
            # Not chained: the text is a secret, even where it is a damaged one.
            raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} holds a damaged key") from None

    def set(self, item: str, key: WrappingKey) -> None:
        """Keep a key and read it back, so that no home is made whose key was not kept."""
        try:
            self._backend.set_password(SERVICE, item, base64.b64encode(key.reveal()).decode())
        except Exception:
            # Not chained: a backend may quote what it was given.
            raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} keeps no key") from None
        if self.get(item) != key:
            raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} kept another key")

    def delete(self, item: str) -> None:
        """Delete a key; nothing when it is not there."""
        try:
            self._backend.delete_password(SERVICE, item)
        except Exception:
            if self._backend.get_password(SERVICE, item) is not None:
                raise AccessError(Code.STORE_KEYCHAIN, f"{self.name} deletes no key") from None
