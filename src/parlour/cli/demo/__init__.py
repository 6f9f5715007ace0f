"""``parlour demo``: a server and two people, each a process of its own, told step by step.

Layout: `processes` (start them, hear what they say), `stored` (look into the server's database),
`story` (the steps and their checks), `stage` (how it is shown), `command`.
"""
