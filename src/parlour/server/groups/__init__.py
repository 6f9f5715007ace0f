"""The delivery service of groups on MLS (RFC 9750 §5): one commit wins each epoch, if it is right.

Whatever can be judged without a key is judged here, before it becomes an entry: rules of MLS, and
those of the roster. So a broken commit harms who made it and nobody else. Clients trust none of it
and judge again.

Layout: `service` (the operations), `handshaking` (one handshake from request to entry), `turns`
(who stages when), `tracked` (a group in memory), `cache`, `members` (who is pushed to); the rules:
`commits` and `leaves`, `proposals`, `beginnings` (founding and restart), `authority` (keys and
certificates), `decoded` (what came, before it is judged), `messages`, `links`, `refusals`.
"""

from parlour.server.groups.members import Members
from parlour.server.groups.service import GroupService

__all__ = ["GroupService", "Members"]
