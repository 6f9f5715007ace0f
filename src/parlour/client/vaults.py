"""Both vaults of an account, sealed and signed as a server takes them."""

from __future__ import annotations

from parlour.identity import proofs
from parlour.identity.recovery_vault import Recovered, seal_recovery_vault
from parlour.identity.vault import AccountSecret, VaultContent, seal_lone_vault, seal_vault
from parlour.login import RECORD_VERSION, ExportKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.vaults import NewVaults


def seal_both(
    content: VaultContent,
    secret: AccountSecret,
    *,
    account_id: bytes,
    export_key: ExportKey,
    lone: bool,
) -> tuple[bytes, bytes | None]:
    """Seal the vault and, where there is a recovery key, its second copy, each freshly.

    `lone` is only for a password that is a generated `Passphrase`: the vault then opens with it
    alone.
    """
    seal = seal_lone_vault if lone else seal_vault
    vault = seal(content, account_id=account_id, export_key=export_key.reveal(), secret=secret)
    if content.recovery is None:
        return vault, None
    recovered = Recovered(content, secret)
    return vault, seal_recovery_vault(recovered, account_id=account_id, key=content.recovery)


def new_vaults(
    content: VaultContent,
    secret: AccountSecret,
    *,
    server: str,
    account_id: bytes,
    export_key: ExportKey,
    lone: bool,
) -> NewVaults:
    """Seal both and sign them with the number that `content` has."""
    vault, copy = seal_both(
        content, secret, account_id=account_id, export_key=export_key, lone=lone
    )
    signed = proofs.vaults(
        server=server,
        account_id=account_id,
        number=content.number,
        vault=vault,
        recovery_vault=copy or b"",
    )
    return NewVaults(content.number, vault, copy, content.account_key.sign(signed))


def sign_record(
    account_key: Ed25519PrivateKey, *, server: str, name: str, account_id: bytes, upload: bytes
) -> bytes:
    """The account key's signature over an OPAQUE record: a server can't put in one of its own."""
    record = proofs.login_record(
        server=server,
        name=name,
        account_id=account_id,
        record_version=RECORD_VERSION,
        upload=upload,
    )
    return account_key.sign(record)
