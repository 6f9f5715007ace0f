"""``parlour counters``: what an operator may collect without content."""

from __future__ import annotations

from parlour.cli.options import HomeOptions
from parlour.client.client import Client


async def counters(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Catch up, and count what happened in groups meanwhile: lost races, repairs, refusals.

    Numbers only: no names, no contents, no ids. They begin at nothing each time.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        found = dict(sorted(client.counters.items()))
    output.document({"counters": found})
    width = max((len(name) for name in found), default=0)
    for name, count in found.items():
        output.text(f"{name:<{width}}  {count}")
    if not found:
        output.note("Nothing to count.")
    return 0
