"""What stands in a run in the place of something of the product or of the system, and of what.

A test compares this list with what a run uses: nothing else is put in its place.
"""

from __future__ import annotations

from typing import Final

SUBSTITUTES: Final[dict[str, str]] = {
    # time
    "SimulatedLoop": "the event loop, and with it every clock: time passes when nothing is to do",
    # randomness
    "randomness.seeded": "the system's random bytes, for the client, the server and both stores",
    # the wire
    "ClientSocket": "the WebSocket of the client's library, below `client.connection.Connection`",
    "ServerSocket": "the WebSocket of the server's framework, below `socket.session.LiveSession`",
    # threads
    "InlineWorker": "`client.workers.Worker`, the thread of the local store",
    "InlineWriter": "the thread of `store.sqlite.writer.Writer`, whose commits are its own",
    "InlineReaders": "the threads of `store.sqlite.readers.Readers`",
    # files
    "InlineDatabase": "the file below `store.sqlite.database.Database`: it lies in memory",
    "LocalDisk": "the file below `client.store.LocalStore`: it lies in memory, without a key",
    "NoLock": "`store.sqlite.lock.FileLock`, the lock on the server's folder",
}
