"""The client's machine, without I/O.

`Machine` takes intents ("say this"), entries and answers in, and gives changes to write, requests
to send and events to show out. It reads no clock and no socket; `client/` is the shell around it.

Layout: `content` and `sealed` (what is said, how an entry is encrypted), `genesis`, `contact`,
`directory` (device lists and bundles), `sending`, `receiving`, `repair`, `machine` (how these work
together), `events`, `requests`, `changes` (what goes out).
"""
