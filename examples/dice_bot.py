"""A bot that rolls dice, in whichever groups it is brought.

    python -m examples.dice_bot HOME PASSWORD_FILE

It says yes to every group that it is added to, and answers "roll 2d6" there, or whoever asks it
alone. A message counts as delivered when the next event is asked for: a bot that dies while it
rolls is asked again when it starts.
"""

import asyncio
import re
import secrets
import sys
from pathlib import Path

from parlour import Client
from parlour.client.config import read_password_file
from parlour.conversation.events import GroupJoined, MessageReceived

ROLL = re.compile(r"roll ([1-9][0-9]?)d([1-9][0-9]{0,2})")


def roll(text: str) -> str | None:
    """The answer to a message; None for what asks for no dice."""
    match = ROLL.fullmatch(text.strip().casefold())
    if match is None:
        return None
    count, sides = map(int, match.groups())
    dice = [secrets.randbelow(sides) + 1 for _ in range(count)]
    return f"{' + '.join(map(str, dice))} = {sum(dice)}"


async def serve(home: Path, password: str) -> None:
    async with Client.open(home, password) as client:
        await client.connected()
        print(f"{client.name} rolls dice", flush=True)
        async for event in client.events():
            if isinstance(event, GroupJoined):
                await client.groups.accept(event.group)
            if isinstance(event, MessageReceived):
                said = client.said(event.message)
                answer = None if said.mine else roll(said.text)
                if answer is not None:
                    await client.send(said.where, f"{said.sender}: {answer}")


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), read_password_file(Path(sys.argv[2]))))
