"""The server's lasting secrets: files of mode 0600, made at the first start, checked at each.

- `opaque-setup`: OPAQUE's OPRF seed and key. Losing it locks every account out.
- `decoy-key`: makes answers for names that nobody has.

They are never settings, arguments or environment variables.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.errors import Code, UsageError
from parlour.login import generate_setup
from parlour.login.server import DECOY_KEY_SIZE
from parlour.login.setup import SETUP_SIZE
from parlour.primitives.random import Random, system_random

FOLDER: Final = "secrets"
OPAQUE_FILE: Final = "opaque-setup"
DECOY_FILE: Final = "decoy-key"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# Random bytes have far more distinct values; typed-in and counted ones have fewer.
_LEAST_DISTINCT: Final = 12


@dataclass(frozen=True, slots=True, repr=False)
class ServerSecrets:
    """What was loaded. Redacted."""

    opaque_setup: bytes
    decoy_key: bytes

    def __repr__(self) -> str:
        return "ServerSecrets([secret])"


def load_secrets(data: Path, random: Random = system_random) -> ServerSecrets:
    """Load the secrets in the folder `data`, making all of them if there is none yet.

    Raises ``store.secret`` when one is missing beside another, has not its size, looks like no
    random bytes, or can be read by somebody else.
    """
    folder = data / FOLDER
    if not folder.exists():
        _make(folder, random)
    return ServerSecrets(
        _load(folder / OPAQUE_FILE, SETUP_SIZE), _load(folder / DECOY_FILE, DECOY_KEY_SIZE)
    )


def write_secret(path: Path, value: bytes) -> None:
    """Write a file of mode 0600 so that it is there whole or not at all, also after a crash."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_secret(path: Path) -> bytes:
    """Read a secret file; raises ``store.secret`` if it is missing or others may read it."""
    try:
        mode = path.stat().st_mode
        value = path.read_bytes()
    except OSError as error:
        raise _refuse(path, "can't be read") from error
    if os.name == "posix" and mode & _OTHERS:
        raise _refuse(path, "others may read it: chmod 600")
    return value


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path, random: Random) -> None:
    """Make the folder with all secrets in it at once, by a rename."""
    makers: dict[str, Callable[[], bytes]] = {
        OPAQUE_FILE: lambda: generate_setup(random),
        DECOY_FILE: lambda: random(DECOY_KEY_SIZE),
    }
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    for name, make in makers.items():
        write_secret(temporary / name, make())
    temporary.rename(folder)
    sync_folder(folder.parent)


def _load(path: Path, size: int) -> bytes:
    value = read_secret(path)
    if len(value) != size:
        raise _refuse(path, f"has not {size} bytes")
    if len(set(value)) < _LEAST_DISTINCT:
        raise _refuse(path, "is not random")
    return value


def _refuse(path: Path, reason: str) -> UsageError:
    return UsageError(Code.STORE_SECRET, f"{path.name} {reason}")
