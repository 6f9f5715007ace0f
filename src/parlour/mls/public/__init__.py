"""All of MLS that needs no private key: what a delivery service may know of a group.

Layout, from the bottom: `types`, `limits`, `rules`, `suites` (§5); `extensions`, `credentials`,
`capabilities`, `leaf_node` (§7.2), `key_package` (§10), `psk_id` (§8.4), `proposals` (§12.1),
`commit` (§12.4), `group_context` (§8.1), `group_info`, `welcome` (§12.4.3); `tree` (§7), `framing`
(§6), `transcript` (§8.2); `policy`, `validation` (§7.3, §10.1, §12.1, §12.2); `state`, `changes`
(§12.3), `staging` (§12.4.2), `joining` (§12.4.3), `group` (a group as a server follows it).
"""
