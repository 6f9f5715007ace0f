"""Conversations on MLS: groups, families, rooms; the machine's part for them.

What a group should be is its roster (`parlour.roster`) and its accounts' device lists; what it is
now is the leaves of its tree. Everything here brings the second to the first, by commits of which
one wins each epoch. What a person wants (`intents`) is bound to no epoch, so a lost race is tried
again and never seen.

Layout, from the inside out:

- one group and all of them in memory: `records`, `credentials` (who a leaf is), `chat`, `memory`;
- what should be: `lists` (what device lists say), `census` and `plan` (what should change), `turns`
  (who acts first), `unlisted` (lists that can't be read);
- what others may do, and what we enter by: `authorising`, `entering`;
- commits: `founding`, `committing`, `renewing`, `joining`, `following` (others'), `telling`;
- what is said: `messages`;
- finding the way back: `ladder`, `readding`, `restarting`, `comparing`, `confirming`;
- what people want and see: `wishes`, `direct` (two people on MLS), `by_links`, `view`, `progress`;
- what the server sends: `streams` (which group is which), `arriving` (entries, each in its turn),
  `answers`;
- `groups` puts all together, and says what is done in which order; `sharing` is for many machines
  in one process.
"""
