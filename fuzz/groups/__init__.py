"""A group of people for targets that attack one of them.

Layout: `members` (who they are, and what may happen next), `mallory` (the member who forges),
`running` (a machine of one of them that goes on after an input, and what has to hold then).
"""
