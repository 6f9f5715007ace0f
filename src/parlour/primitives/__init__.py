"""Every cryptographic primitive, and the only place that imports `cryptography`.

Nothing above this package sees a class or an exception of that library. All randomness comes in
through an argument of type `Random`, so that a test or a published vector can fix it.

Layout: `random`, `secret`, `hashes`, `kdf`, `aead`, `weierstrass` (NIST curves), `agreement`,
`signature`, `kem`, `xwing`, `hpke`, `certificates`.
"""
