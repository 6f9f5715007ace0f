"""A bot that answers every text with the same text.

    python -m examples.echo_bot HOME PASSWORD_FILE

A message counts as delivered when the next event is asked for. So a bot that dies while it answers
is given the message again when it starts, and nobody stays without an answer.
"""

import asyncio
import sys
from pathlib import Path

from parlour import Client
from parlour.client.config import read_password_file
from parlour.conversation.content import Text
from parlour.conversation.events import MessageReceived


async def echo(home: Path, password: str) -> None:
    async with Client.open(home, password) as client:
        await client.connected()
        print(f"{client.name} listens", flush=True)
        async for event in client.events():
            if isinstance(event, MessageReceived) and isinstance(event.content, Text):
                said = client.said(event.message)
                if not said.mine:
                    await client.send(said.sender, event.content.text)


if __name__ == "__main__":
    asyncio.run(echo(Path(sys.argv[1]), read_password_file(Path(sys.argv[2]))))
