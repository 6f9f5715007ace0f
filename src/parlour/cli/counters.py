"""``parlour counters``: what an operator may collect without content."""

from __future__ import annotations

from parlour.cli.options import HomeOptions
from parlour.client.client import Client


async def counters(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Print how often what has happened on this device: lost races, repairs, refusals.

    Numbers only: no names, no contents, no ids. They count over the life of the device, from the
    day that is printed with them. Nothing goes over the network, neither now nor by itself.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        found = dict(sorted(client.counters.items()))
        since = client.counted_since.isoformat()
    output.document({"since": since, "counters": found})
    output.text(f"Since {since}:" if found else f"Nothing to count since {since}.")
    width = max((len(name) for name in found), default=0)
    for name, count in found.items():
        output.text(f"{name:<{width}}  {count}")
    return 0
