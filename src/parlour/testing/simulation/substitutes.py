"""What stands in a run in the place of something of the product or of the system, and of what.

A test runs seeds and compares this list with what the product called that is not its own: nothing
else is put in its place. `NEVER` are modules of the product that no run enters by that.
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
    # processes
    "Process": "the system's process: its tasks end between two steps, as by SIGKILL",
    # the shells around what decides
    "Node": "`client.client.Client` and the person in front of it: who loads engine and link, "
    "calls the machine when something is due, reads what it tells, and hands it what people want",
    "Node._dial": "`client.connection.connect` and all below it: TLS, names and addresses",
    "SimulatedServer": "`server.process` and the framework: who makes the core, and sweeps",
    "SimulatedServer._serve": "`server.socket.starlette` with the door of sockets: it counts, has "
    "the token authenticated, opens a session and feeds it frames, as the product's does",
    # what lies behind everybody when a run begins
    "population": "registration, login and linking: accounts, tokens and lists are written as "
    "those would have left them",
}

NEVER: Final[frozenset[str]] = frozenset(
    {
        "client/client.py",
        "client/groups.py",
        "client/home.py",
        "client/linking.py",
        "client/lock.py",
        "client/registration.py",
        "client/workers.py",
        "server/http/app.py",
        "server/http/requests.py",
        "server/process.py",
        "server/socket/starlette.py",
        "server/store/sqlite/lock.py",
    }
)
