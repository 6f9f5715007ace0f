"""The half of MLS that needs private keys: a member of a group.

Layout, from the bottom: `secrets` (a class for each), `key_schedule` (§8), `psk` (§8.4),
`secret_tree` (§9), `protection` (§6.2, §6.3), `treekem` (§7.4 to §7.6), `identity` (§5.3, §10),
`epoch`, `committing` (§12.4.1), `processing` (§12.4.2), `welcoming` and `joining` (§12.4.3.1),
`external` (§12.4.3.2), `storage` (state as bytes), `group` (what applications hold).
"""
