"""``parlour doctor``: what is checked between this person and their server.

Layout: `checks` (what a check is, and the ones of home and server), `round_trip` (an encrypted
message to oneself), `command`.
"""
