"""Before something is believed: the checks of RFC 9420 that need no private key.

Layout: `signatures` (in batches), `leaf_nodes` (§7.3), `key_packages` (§10.1), `proposals` (§12.1),
`proposal_list` (§12.2), `tree` (§12.4.3.1).
"""
