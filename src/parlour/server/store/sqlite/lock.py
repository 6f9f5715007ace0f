"""A lock on a folder, so that two servers never use the same data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from parlour.errors import Code, StorageError


class FileLock:
    """Holds an exclusive lock on a file until `release`; the system drops it with the process.

    Raises ``store.locked`` when somebody else holds it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise StorageError(Code.STORE_LOCKED, path.name) from error

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
