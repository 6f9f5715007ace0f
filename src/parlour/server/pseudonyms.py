"""Names for a day: what logs and rate limits know people and addresses by.

Each is an HMAC under a salt that lives in memory and is thrown away at midnight (UTC). Whoever
reads the log can tell two lines of one day apart, and nobody can tell whose they were.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from parlour.primitives.hashes import hmac_sha256
from parlour.primitives.random import Random, system_random
from parlour.server.clock import Clock

_DAY_MS: Final = 24 * 60 * 60 * 1000
_SALT_SIZE: Final = 32
_SIZE: Final = 6
# One household or machine has a whole /64 of IPv6 and could change its address for each request.
_IPV6_PREFIX: Final = 64


class Pseudonyms:
    """Makes the names of the present day."""

    def __init__(self, clock: Clock, random: Random = system_random) -> None:
        self._clock = clock
        self._random = random
        self._day = -1
        self._salt = b""

    def of(self, data: bytes) -> str:
        """The name of an id: 12 hexadecimal digits."""
        today = self._clock() // _DAY_MS
        if today != self._day:
            self._day, self._salt = today, self._random(_SALT_SIZE)
        return hmac_sha256(self._salt, data)[:_SIZE].hex()

    def of_address(self, host: str | None) -> str:
        """The name of a network address; IPv6 by its /64."""
        return self.of(b"address " + _canonical(host).encode())


def _canonical(host: str | None) -> str:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))
    return str(address)
