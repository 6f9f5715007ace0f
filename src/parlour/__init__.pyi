# What type checkers see of `__init__.py`, which imports the client only when it is asked for.
from parlour.client.client import Client as Client

__all__ = ["Client", "__version__"]

__version__: str
