"""Private folders and files that are there wholly or not at all.

All of it waits for the disk: call it by `workers.run_slow`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from parlour.errors import Code, ParlourError, StorageError, UsageError

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OTHERS: Final = 0o077
_POSIX: Final = os.name == "posix"
# A full disk and a full quota are the same to whoever has to make room.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def storage_error(error: OSError) -> ParlourError:
    """The error of ours for one of the operating system's; its text names no path."""
    if error.errno in _FULL:
        return StorageError(Code.STORE_FULL)
    return StorageError(Code.STORE_BROKEN, error.strerror or "input or output failed")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what the operating system raises into `StorageError`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error) from error


def check_new_file(path: Path) -> None:
    """Return if a file can be made there; raises `USAGE_CONFIG` before anything else is done."""
    if not path.parent.is_dir():
        raise UsageError(Code.USAGE_CONFIG, f"there is no folder for {path.name}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(Code.USAGE_CONFIG, f"nothing may be written where {path.name} is to be")


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner enters, or take the rights of others from one that is.

    Raises `USAGE_CONFIG` for a folder of somebody else, who could exchange what lies in it.
    """
    with storage_errors():
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if not _POSIX:  # pragma: no cover - Windows: a profile's folder is private by its ACL
            return
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise UsageError(Code.USAGE_CONFIG, "the folder belongs to another user")
        if stat.S_IMODE(status.st_mode) & OTHERS:
            folder.chmod(PRIVATE_FOLDER)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or deleted in the folder last through a power cut."""
    if not _POSIX:  # pragma: no cover - Windows has no such call and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`, mode 0600, so that a crash leaves the old content or the new one."""
    # The home is locked, so there is one writer, and what a crash left is written over.
    temporary = path.with_name(path.name + ".new")
    with storage_errors():
        try:
            temporary.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(temporary, flags, PRIVATE_FILE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises `FileNotFoundError` when it is not there, `StorageError` when it is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(error) from error
    if len(data) > limit:
        raise StorageError(Code.STORE_BROKEN, f"{path.name} is larger than {limit} bytes")
    return data


def create_private_file(path: Path) -> None:
    """Create an empty file of mode 0600 if there is none."""
    with storage_errors():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE))
