"""Who somebody is: account keys, signed device lists, the vault and invites.

An account's Ed25519 key signs a hash-chained list of its devices. Whoever knows the account key
knows its devices, whatever a server says.

Layout: `labels`, `device_list`, `proofs`, `vault`, `invite`.
"""
