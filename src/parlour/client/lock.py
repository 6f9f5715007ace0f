"""One program per home at a time.

Two programs that use one home would send with one ratchet, and each would undo the other's state.
The lock belongs to the open file, so it ends with the process, however that ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from parlour.client.files import PRIVATE_FILE, storage_errors
from parlour.errors import Code, StorageError

LOCK_NAME: Final = "lock"

if sys.platform == "win32":  # pragma: no cover - the other branch runs elsewhere
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class HomeLock:
    """A held lock of a home. The file stays when it is released: deleting it would be a race."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, home: Path) -> HomeLock:
        """Lock the home, or raise `STORE_LOCKED` at once."""
        with storage_errors():
            descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise StorageError(Code.STORE_LOCKED) from error
        return cls(descriptor)

    def release(self) -> None:
        """Let others in. Calling it again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
