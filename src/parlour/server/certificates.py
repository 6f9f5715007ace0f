"""The TLS key: our own with the next one made ahead, or the operator's.

Clients pin the key, not the certificate. The certificate is renewed on the same key; when the key
itself has to change, clients already know the pin of the next one.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.errors import Code, ParlourError, UsageError
from parlour.primitives.certificates import (
    Certificate,
    key_pin,
    private_key_from_pem,
    private_key_to_pem,
)
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import EcdsaP256PrivateKey
from parlour.server.config import Config
from parlour.server.secrets import read_secret, write_secret

FOLDER: Final = "tls"
KEY_FILE: Final = "key.pem"
NEXT_KEY_FILE: Final = "next-key.pem"
CERTIFICATE_FILE: Final = "certificate.pem"
_DAY: Final = 24 * 60 * 60
# Renewed at each start that finds less than a third of it left; the pin stays.
_VALID_FOR: Final = 825 * _DAY
_RENEW_BELOW: Final = _VALID_FOR // 3


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the doors listen with, and the pins that clients hear of."""

    certificate: Path
    key: Path
    pin: bytes
    next_pin: bytes | None

    def context(self) -> ssl.SSLContext:
        """A context for TLS 1.3 and nothing older."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                Code.USAGE_CONFIG, "certificate: does not load with its key"
            ) from error
        return context


def load_tls(config: Config, *, now: int, random: Random = system_random) -> ServerTls:
    """The operator's certificate, or our own, made or renewed if need be. `now` in seconds."""
    if config.certificate is not None and config.key is not None:
        return _theirs(config.certificate, config.key)
    return _ours(config, now, random)


def _theirs(certificate: Path, key: Path) -> ServerTls:
    try:
        parsed = Certificate.from_pem(certificate.read_bytes())
    except (OSError, ParlourError) as error:
        raise UsageError(Code.USAGE_CONFIG, "certificate: can't be read") from error
    read_secret(key)
    return ServerTls(certificate, key, parsed.spki_pin, None)


def _ours(config: Config, now: int, random: Random) -> ServerTls:
    folder = config.data / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _key(folder / KEY_FILE, random)
    next_key = _key(folder / NEXT_KEY_FILE, random)
    path = folder / CERTIFICATE_FILE
    names = _names(config)
    if not _still_good(path, key, names, now):
        certificate = Certificate.self_signed(
            key, names=names, now=now, valid_for=_VALID_FOR, random=random
        )
        write_secret(path, certificate.to_pem())
    return ServerTls(path, folder / KEY_FILE, key_pin(key.public_key), key_pin(next_key.public_key))


def _key(path: Path, random: Random) -> EcdsaP256PrivateKey:
    if not path.exists():
        write_secret(path, private_key_to_pem(EcdsaP256PrivateKey.generate(random)))
    try:
        return private_key_from_pem(read_secret(path))
    except ParlourError as error:
        raise UsageError(Code.STORE_SECRET, path.name) from error


def _names(config: Config) -> list[str]:
    """Under what names clients may reach us: our own, the listening address, this machine."""
    host = config.name.rpartition(":")[0] or config.name
    return list(dict.fromkeys([host.strip("[]"), "localhost", "127.0.0.1", "::1"]))


def _still_good(path: Path, key: EcdsaP256PrivateKey, names: list[str], now: int) -> bool:
    try:
        certificate = Certificate.from_pem(path.read_bytes())
    except (OSError, ParlourError):
        return False
    return (
        certificate.spki_pin == key_pin(key.public_key)
        and certificate.not_after - now > _RENEW_BELOW
        and set(certificate.names) == set(names)
    )
