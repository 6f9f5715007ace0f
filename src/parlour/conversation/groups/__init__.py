"""Conversations on MLS: groups, families, rooms; the machine's part for them.

What a group should be is its roster (`parlour.roster`) and its accounts' device lists; what it is
now is the leaves of its tree. Everything here brings the second to the first, by commits of which
one wins each epoch. What a person wants (`intents`) is bound to no epoch, so a lost race is tried
again and never seen.

Layout, from the inside out: `records`, `credentials` (who a leaf is), `chat` (one group in memory),
`turns` (who acts first), `plan` (what a commit should do), `authorising` (what a commit may do),
`founding`, `committing`, `joining`, `following` (others' commits), `messages`, `details` (names),
`repairing` (the ladder), `comparing` (epochs that differ between people), `groups` (all together).
"""
