"""OPAQUE-3DH over ristretto255 a second time, from the RFCs, for the tests.

It shows three things: that the published vectors are met by somebody who reads the RFC as we do;
that the library in `parlour.login` speaks the same protocol, in both roles; and that there is a
way out if that library is no longer maintained. It is not for production: `bytes` and `int` of
Python leak by timing and cannot be wiped.

Layout: `group` (ristretto255 by libsodium, through `rbcl`), `oprf` (RFC 9497), `envelope`,
`key_exchange`, `client`, `server` (RFC 9807).

Everything is of fixed size: nonces and seeds 32 bytes, elements and scalars 32, hashes, MACs and
derived keys 64. What the RFC draws at random is drawn from an argument, in the order that each
docstring tells, so that a vector's values can be played back.
"""
