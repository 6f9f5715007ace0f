"""The server's lasting OPAQUE secrets: made once, at the first start.

``struct { opaque oprf_seed[64]; opaque server_private_key[32]; opaque decoy_public_key[32]; }``

The decoy public key stands in for the client's key when there is no such user. Its private half
is dropped as soon as it was made: who knew it could compute the key exchange of a decoy and so
tell it from a real account.

Spec: RFC 9807 §3.1 (setup), §6.3.2.2 (fake records); ristretto255 scalars RFC 9496 §4.4.
"""

from __future__ import annotations

from typing import Final

import opaque_snake

from parlour.errors import Code, UsageError
from parlour.primitives.random import Random

OPRF_SEED_SIZE: Final = 64
SCALAR_SIZE: Final = 32
ELEMENT_SIZE: Final = 32
SETUP_SIZE: Final = OPRF_SEED_SIZE + SCALAR_SIZE + ELEMENT_SIZE

# The order of the group (RFC 9496 §4).
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


def generate_setup(random: Random) -> bytes:
    """Make fresh secrets of 128 bytes, all of them drawn from `random`."""
    seed = random(OPRF_SEED_SIZE)
    private_key = _random_scalar(random)
    decoy_key = _public_key(_random_scalar(random))
    return seed + private_key + decoy_key


def load_setup(setup: bytes) -> opaque_snake.OpaqueServer:
    """Load stored secrets; raises `UsageError` if they are not ones."""
    if len(setup) != SETUP_SIZE:
        raise UsageError(Code.USAGE_CONFIG, f"an OPAQUE setup has {SETUP_SIZE} bytes")
    try:
        return opaque_snake.OpaqueServer(setup)
    except opaque_snake.OpaqueError as error:
        raise UsageError(Code.USAGE_CONFIG, "not an OPAQUE setup") from error


def decoy_public_key(setup: bytes) -> bytes:
    """The 32 bytes that stand in for a client's public key."""
    return setup[-ELEMENT_SIZE:]


def _random_scalar(random: Random) -> bytes:
    # 64 bytes reduced are uniform but for 2^-259; zero does not happen.
    return (int.from_bytes(random(64), "little") % _ORDER).to_bytes(SCALAR_SIZE, "little")


def _public_key(scalar: bytes) -> bytes:
    """Let the library multiply: a server with that private key names its public one."""
    template = opaque_snake.OpaqueServer().export_setup()
    server = load_setup(template[:OPRF_SEED_SIZE] + scalar + decoy_public_key(template))
    request, _ = opaque_snake.OpaqueClient().start_registration("")
    response = server.create_registration_response(request, "").to_bytes()
    return response[-ELEMENT_SIZE:]
