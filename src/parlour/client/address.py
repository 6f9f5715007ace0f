"""Where a server is reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Self

from parlour.errors import Code, UsageError

DEFAULT_PORT: Final = 8443
MAX_PORT: Final = 0xFFFF
# RFC 1035 §2.3.4.
MAX_HOST: Final = 253


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or an IP address (without brackets), and a port."""

    host: str
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        # What could end the host in a URI would send the token elsewhere.
        legal = all(character.isalnum() or character in "-._:" for character in self.host)
        if not 0 < len(self.host) <= MAX_HOST or not legal or not self.host.isascii():
            raise UsageError(Code.USAGE_INVALID, "not a host name")
        if ":" in self.host and not _is_ipv6(self.host):
            raise UsageError(Code.USAGE_INVALID, "not an IPv6 address")
        if not 0 < self.port <= MAX_PORT:
            raise UsageError(Code.USAGE_INVALID, "not a port")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host``, ``host:port``, ``[v6]:port`` or an IPv6 address."""
        host, port = text, ""
        if text.startswith("["):
            host, bracket, port = text[1:].partition("]")
            if not bracket or port[:1] not in ("", ":") or not _is_ipv6(host):
                raise UsageError(Code.USAGE_INVALID, "not an address")
            port = port[1:]
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if port and not (port.isascii() and port.isdecimal()):
            raise UsageError(Code.USAGE_INVALID, "not a port")
        return cls(host, int(port) if port else DEFAULT_PORT)

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, which needs no look-up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
