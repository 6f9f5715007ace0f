"""The invariant: a value or a peer error, nothing else."""

from __future__ import annotations

from collections.abc import Callable

from parlour.errors import InternalError, ParlourError, UsageError


class Finding(Exception):
    """An input that broke the invariant."""

    def __init__(self, target: str, data: bytes, cause: BaseException) -> None:
        super().__init__(f"{target}: {type(cause).__name__}: {cause}\n  input: {data.hex()}")
        self.data = data


def accepts(name: str, run: Callable[[bytes], object], data: bytes) -> bool:
    """Whether the target took `data` (True) or refused it (False); else raise `Finding`.

    A `UsageError` blames our own code for what a stranger sent, and an `InternalError` is a bug by
    its name: both are findings. So is what is not an `Exception`, like the panic of a library.
    """
    try:
        run(data)
    except (UsageError, InternalError) as error:
        raise Finding(name, data, error) from error
    except ParlourError:
        return False
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Finding(name, data, error) from error
    return True
