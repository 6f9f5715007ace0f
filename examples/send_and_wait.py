"""Say something, wait until the server has it, then wait for an answer.

    python -m examples.send_and_wait HOME PASSWORD_FILE NAME TEXT

When the server can't be reached within the time, the message stays in the home and goes out with
the next client that opens it.
"""

import asyncio
import sys
from pathlib import Path

from parlour import Client
from parlour.client.config import read_password_file
from parlour.conversation.events import MessageReceived

PATIENCE = 30.0


async def ask(home: Path, password: str, name: str, text: str) -> str:
    async with Client.open(home, password) as client:
        await client.send(name, text)
        await client.sent(PATIENCE)
        print("sent", flush=True)
        async with asyncio.timeout(PATIENCE):
            async for event in client.events():
                if isinstance(event, MessageReceived):
                    said = client.said(event.message)
                    if said.sender == name:
                        return said.text
    raise RuntimeError("the client was closed")


if __name__ == "__main__":
    folder, password_file, peer, question = sys.argv[1:]
    answer = ask(Path(folder), read_password_file(Path(password_file)), peer, question)
    print(asyncio.run(answer))
