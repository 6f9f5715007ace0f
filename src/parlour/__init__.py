"""Parlour: private rooms for text and voice that you host yourself.

`parlour.Client` is the SDK. It is imported when it is first asked for, so that a program which
needs one protocol package alone does not load the rest.
"""

import importlib

__version__ = "0.1.0"

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Client":
        return importlib.import_module("parlour.client.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
