"""The ratchet tree (RFC 9420 §4, §7).

Layout: `math` (positions), `nodes` (parent nodes), `index` (keys and capabilities in use),
`ratchet_tree` (an immutable tree and its hashes), `draft` (a tree that is being changed),
`parent_hash`, `extension` (how a tree travels), `validation` (before a tree is believed).
"""
