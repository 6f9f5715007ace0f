"""The vault: the account key and the archive key, sealed for the account's owner.

The vault key is HKDF(OPAQUE export key ‖ account secret): the password alone never opens it,
because whoever holds the server's disk can test guesses of a password. The account secret is 128
random bits that only devices and the recovery key carry (docs/trust.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import AccessError, AuthenticationError, Code, DecodeError
from parlour.identity import labels
from parlour.primitives import aead
from parlour.primitives.kdf import hkdf
from parlour.primitives.random import Random, system_random
from parlour.primitives.secret import Secret
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PrivateKey

FORMAT: Final = 1
_MAX_SEALED: Final = 4 << 10


class AccountSecret(Secret):
    """128 random bits that never reach a server."""

    __slots__ = ()
    SIZE = 16


class ArchiveKey(Secret):
    """What keys of archived history are wrapped under."""

    __slots__ = ()
    SIZE = 32


@dataclass(frozen=True, slots=True)
class VaultContent:
    """What the vault holds."""

    account_key: Ed25519PrivateKey
    archive_key: ArchiveKey


def _key(export_key: bytes, secret: AccountSecret, salt: bytes) -> bytes:
    return hkdf(
        export_key + secret.reveal(),
        salt=salt,
        info=labels.VAULT_KEY,
        length=aead.AES_256_KEY_SIZE,
    )


def _associated_data(account_id: bytes) -> bytes:
    return Writer().opaque(labels.VAULT_DATA).uint8(FORMAT).opaque(account_id).data()


def seal_vault(
    content: VaultContent,
    *,
    account_id: bytes,
    export_key: bytes,
    secret: AccountSecret,
    random: Random = system_random,
) -> bytes:
    """Seal under a key of its own.

    ::

        struct { uint8 format = 1; opaque salt[32]; opaque sealed<V>; } Vault;

    The salt makes key and nonce fresh at each sealing, so the fixed nonce is used once.
    """
    salt = random(32)
    plaintext = Writer().fixed(content.account_key.to_bytes(), ED25519_KEY_SIZE)
    plaintext.fixed(content.archive_key.reveal(), 32)
    sealed = aead.seal(
        _key(export_key, secret, salt),
        bytes(aead.NONCE_SIZE),
        plaintext.data(),
        _associated_data(account_id),
    )
    return Writer().uint8(FORMAT).fixed(salt, 32).opaque(sealed).data()


def open_vault(
    vault: bytes, *, account_id: bytes, export_key: bytes, secret: AccountSecret
) -> VaultContent:
    """Open what `seal_vault` made; a wrong password or secret raises `VAULT_CLOSED`."""

    def read(reader: Reader) -> tuple[bytes, bytes]:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "vault")
        return reader.fixed(32), reader.opaque(_MAX_SEALED)

    salt, sealed = decode(vault, read)
    key = _key(export_key, secret, salt)
    try:
        plaintext = aead.open_(key, bytes(aead.NONCE_SIZE), sealed, _associated_data(account_id))
    except AuthenticationError as error:
        raise AccessError(Code.VAULT_CLOSED) from error
    return decode(
        plaintext,
        lambda reader: VaultContent(
            Ed25519PrivateKey(reader.fixed(ED25519_KEY_SIZE)), ArchiveKey(reader.fixed(32))
        ),
    )
