"""``parlour chat``: a line to write on, and what happens above it.

Layout: `keys` (bytes of a terminal → keys), `editor` (keys → the line that is being written),
`screen` (the only part of the terminal that is drawn again), `terminal` (raw mode, input),
`faces` (three ways to show a chat: on a screen, as lines, as JSON), `session` (what connects them
with the client), `command`.
"""
