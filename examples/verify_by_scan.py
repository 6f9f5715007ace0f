"""Verify somebody by the QR code on their screen, given as hexadecimal.

    python -m examples.verify_by_scan HOME PASSWORD_FILE NAME SCANNED

SCANNED is what a camera read from their `parlour verify`; with `--json` that command prints it as
`scannable`. A code that does not fit ends with an error, and nobody is verified.
"""

import asyncio
import sys
from pathlib import Path

from parlour import Client
from parlour.client.config import read_password_file
from parlour.transparency import compare


async def verify(home: Path, password: str, name: str, scanned: bytes) -> None:
    async with Client.open(home, password) as client:
        number = await client.safety_number(name)
        compare(scanned, number)
        await client.verify(name, number)


if __name__ == "__main__":
    folder, password_file, peer, code = sys.argv[1:]
    password_text = read_password_file(Path(password_file))
    asyncio.run(verify(Path(folder), password_text, peer, bytes.fromhex(code)))
    print(f"{peer} is verified")
