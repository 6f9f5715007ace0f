"""Conversations on MLS: groups, families, rooms; the machine's part for them.

What a group should be is its roster (`parlour.roster`) and its accounts' device lists; what it is
now is the leaves of its tree. Everything here brings the second to the first, by commits of which
one wins each epoch. What a person wants (`intents`) is bound to no epoch, so a lost race is tried
again and never seen.

Layout, from the inside out: `records`, `credentials` (who a leaf is), `chat` (one group in memory),
`memory`; `lists` (what device lists say), `census` and `plan` (what should change), `turns` (who
acts first), `authorising` and `entering` (what others may do, and what we enter by); `founding`,
`committing`, `renewing`, `joining`, `by_links`, `following` (others' commits), `messages`, `direct`
(two people on MLS); `ladder`, `restarting`, `comparing`, `confirming` (finding the way back);
`wishes` (what people want), `view`, `progress`, `groups` (all together), `sharing` (many in one
process).
"""
