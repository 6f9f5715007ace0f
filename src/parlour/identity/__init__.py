"""Who somebody is: account keys, signed device lists, the vault and invites.

An account's Ed25519 key signs a hash-chained list of its devices. Whoever knows the account key
knows its devices, whatever a server says.

Layout: `labels`; `device`, `device_list_entry`, `device_list`; `proofs`; `sealed` (how things are
sealed), `vault`, `recovery` (the key on paper), `recovery_vault`, `passphrase`; `linking` with
`link_text`, `link_messages`, `link_side`, `link_new`, `link_old`; `invite`, `profile`,
`device_name`.
"""
