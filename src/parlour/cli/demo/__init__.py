"""``parlour demo``: a server and people, each device a process of its own, told step by step.

Layout: `processes` (start them, hear what they say), `cast` (the server, people and devices),
`stored` (look into the server's database), `story` (two people: the steps and their checks),
`group_story` (the same of a group), `stage` (how it is shown), `command`.
"""
