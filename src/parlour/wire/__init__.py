"""What client and server say to each other: frames, bodies, codes and bounds, versioned.

One table, `kinds.OPERATIONS`, names every operation with its request, its response and who may
call it. Both doors, REST and the live socket, are made from it, and so is `docs/wire.md`.

Layout: `ids`, `limits`, `body`, `envelope`, `frames`, `kinds`; the bodies by topic: `server`,
`login`, `recovery`, `joining`, `linking`, `vaults`, `invites`, `directory`, `profiles`, `prekeys`,
`streams`, `push`; `document` and `notation` write
docs/wire.md.
"""
