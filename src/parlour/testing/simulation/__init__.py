"""A simulation of devices, their networks and a server that has faults, from a seed.

Everything that decides is the product's: machine, engine, link, connection and local store of the
client; dispatcher, services, hub, sessions and SQLite store of the server. What is put in its place
stands in `substitutes`: time, randomness and the wire, with the threads and files below the
databases. One seed is one run, the same each time, whatever the machine.

::

    python -m parlour.testing.simulation --seeds 0-99 --steps 2000 --json FILE
    python -m parlour.testing.simulation --seed 17 --trace
    python -m parlour.testing.simulation --shrink 17

A run begins with some people and their devices. Its program is drawn step by step from tables of
actions (`program`); then all faults stop, everybody comes online, says one thing more, and time
passes until nothing more is to be done. An oracle knows all that was said and compares.

Layout: `loop` (time), `process` (what can be killed), `disk`, `wire`, `server`, `node`, `world`;
`population` (who there is); `actions` with the tables `talk`, `groups`, `crowd`, `life`, `trouble`,
`lies`; `meddling` (what a faulty server makes of its frames); `program`, `run`, `oracle`,
`verdict`, `trace`; `shrink`, `evidence`, `command`.
"""
