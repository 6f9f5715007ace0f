"""``parlour group``: several people who talk together.

Layout: `commands` (found, look, leave), `members` (who is in it, in which role), `links`, with
`described` (a group as people and programs see it), `progress`, and `sentences` (its events).
"""
