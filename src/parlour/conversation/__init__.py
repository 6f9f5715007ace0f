"""The client's machine, without I/O.

`Machine` takes intents ("say this"), entries and answers in, and gives changes to write, requests
to send and events to show out. It reads no clock and no socket; `client/` is the shell around it.

Layout, from the inside out: `content`, `inner`, `sealed` (what is said, how an entry is
encrypted), `genesis`, `contact`, `state` (the machine's memory), `directory` (device lists),
`bundles`, `sealing`, `sending` (from intent to entry), `opening`, `receiving`, `controls` (from
entry to message), `histories` (what a server can't hide), `reasons`, `repair` (what can't be read),
`upkeep`, `pending`, `machine` (how these work together), `events`, `requests`, `changes` (what goes
out).
"""
