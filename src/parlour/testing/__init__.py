"""Tools for tests, ours and others': a clock, seeded randomness, a server in memory, and devices.

Nothing of the product imports this package.

Layout: `randomness`, `memory_server` (a model of the server whose lies can be chosen), `device`
(a machine with a store in memory that can be killed between any two steps).
"""
