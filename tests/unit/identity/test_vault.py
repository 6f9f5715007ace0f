from dataclasses import replace

import pytest

from parlour.codec import Writer
from parlour.errors import AccessError, Code, DecodeError, ParlourError, UsageError
from parlour.identity import labels
from parlour.identity.vault import (
    AccountSecret,
    ArchiveKey,
    RecoveryVaultKey,
    VaultContent,
    open_lone_vault,
    open_vault,
    seal_lone_vault,
    seal_vault,
    stands_alone,
)
from parlour.primitives import aead
from parlour.primitives.hashes import sha256
from parlour.primitives.kdf import hkdf
from tests.accounts import ANNA, ANNAS_KEY
from tests.pairs import seeded

EXPORT_KEY = bytes(range(64))
SECRET = AccountSecret(b"account secret 1")
CONTENT = VaultContent(ANNAS_KEY, ArchiveKey(sha256(b"archive")))


def sealed(seed: str = "vault") -> bytes:
    return seal_vault(
        CONTENT, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET, random=seeded(seed)
    )


def opened(
    vault: bytes,
    *,
    account_id: bytes = ANNA,
    export_key: bytes = EXPORT_KEY,
    secret: AccountSecret = SECRET,
) -> VaultContent:
    return open_vault(vault, account_id=account_id, export_key=export_key, secret=secret)


def test_round_trip() -> None:
    content = opened(sealed())
    assert content.account_key.to_bytes() == ANNAS_KEY.to_bytes()
    assert content.archive_key == CONTENT.archive_key
    assert content.number == 0


def test_number_is_inside_the_seal() -> None:
    content = replace(CONTENT, number=7)
    vault = seal_vault(content, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET)
    lone = seal_lone_vault(content, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET)
    assert opened(vault).number == 7
    assert open_lone_vault(lone, account_id=ANNA, export_key=EXPORT_KEY)[0].number == 7


def test_vault_is_made_like_this() -> None:
    salt = seeded("vault")(32)
    key = hkdf(EXPORT_KEY + SECRET.reveal(), salt=salt, info=labels.VAULT_KEY, length=32)
    about = Writer().opaque(labels.VAULT_DATA).uint8(1).opaque(ANNA).data()
    plaintext = bytes(4) + ANNAS_KEY.to_bytes() + CONTENT.archive_key.reveal() + b"\x00"
    ciphertext = aead.seal(key, bytes(12), plaintext, about)
    assert sealed() == b"\x01" + salt + Writer().opaque(ciphertext).data()


def test_vault_keeps_the_key_of_its_second_copy() -> None:
    content = VaultContent(ANNAS_KEY, CONTENT.archive_key, RecoveryVaultKey(sha256(b"paper")))
    vault = seal_vault(content, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET)
    assert opened(vault).recovery == content.recovery
    assert opened(sealed()).recovery is None


def test_lone_vault_opens_with_the_passphrase_alone_and_brings_the_secret() -> None:
    vault = seal_lone_vault(CONTENT, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET)
    content, secret = open_lone_vault(vault, account_id=ANNA, export_key=EXPORT_KEY)
    assert content.account_key.to_bytes() == ANNAS_KEY.to_bytes()
    assert secret == SECRET
    assert stands_alone(vault)
    assert not stands_alone(sealed())
    for account_id, export_key in ((ANNA, bytes(64)), (bytes(16), EXPORT_KEY)):
        with pytest.raises(AccessError) as caught:
            open_lone_vault(vault, account_id=account_id, export_key=export_key)
        assert caught.value.code is Code.VAULT_CLOSED


def test_neither_vault_passes_for_the_other() -> None:
    """A server that relabels a vault does not get a password to be used alone."""
    lone = seal_lone_vault(CONTENT, account_id=ANNA, export_key=EXPORT_KEY, secret=SECRET)
    with pytest.raises(DecodeError):
        opened(lone)
    with pytest.raises(AccessError):
        opened(b"\x01" + lone[1:])
    with pytest.raises(AccessError):
        open_lone_vault(b"\x02" + sealed()[1:], account_id=ANNA, export_key=EXPORT_KEY)


def test_fresh_salt_changes_all_of_it() -> None:
    one, other = sealed("one"), sealed("other")
    same = sum(a == b for a, b in zip(one[1:33] + one[35:], other[1:33] + other[35:], strict=True))
    assert same < 12  # of 117 bytes, each alike once in 256
    assert opened(one).archive_key == opened(other).archive_key


@pytest.mark.parametrize(
    "wrong",
    [
        {"export_key": bytes(64)},
        {"export_key": EXPORT_KEY[:-1]},
        {"secret": AccountSecret(bytes(16))},
        {"account_id": sha256(b"bea")[:16]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_password_secret_or_account(wrong: dict[str, bytes]) -> None:
    with pytest.raises(AccessError) as caught:
        opened(sealed(), **wrong)  # type: ignore[arg-type]
    assert caught.value.code is Code.VAULT_CLOSED
    assert caught.value.detail == ""


def test_password_alone_opens_nothing() -> None:
    key = hkdf(EXPORT_KEY, salt=sealed()[1:33], info=labels.VAULT_KEY, length=32)
    about = Writer().opaque(labels.VAULT_DATA).uint8(1).opaque(ANNA).data()
    with pytest.raises(ParlourError):
        aead.open_(key, bytes(12), sealed()[35:], about)


def test_every_flipped_byte_is_refused() -> None:
    vault = sealed()
    for index in range(len(vault)):
        changed = vault[:index] + bytes((vault[index] ^ 1,)) + vault[index + 1 :]
        with pytest.raises((AccessError, DecodeError)):
            opened(changed)


def test_every_truncation_and_trailing_bytes_are_refused() -> None:
    vault = sealed()
    for damaged in [vault[:size] for size in range(len(vault))] + [vault + b"\x00"]:
        with pytest.raises(DecodeError):
            opened(damaged)


def test_unknown_format_is_named() -> None:
    with pytest.raises(DecodeError) as caught:
        opened(b"\x02" + sealed()[1:])
    assert caught.value.code is Code.DECODE_VERSION


def test_oversized_vault_is_not_decrypted() -> None:
    with pytest.raises(DecodeError) as caught:
        opened(b"\x01" + bytes(32) + Writer().opaque(bytes((4 << 10) + 1)).data())
    assert caught.value.code is Code.DECODE_OVERSIZED


def test_content_of_another_shape_is_refused() -> None:
    salt = bytes(32)
    key = hkdf(EXPORT_KEY + SECRET.reveal(), salt=salt, info=labels.VAULT_KEY, length=32)
    about = Writer().opaque(labels.VAULT_DATA).uint8(1).opaque(ANNA).data()
    ciphertext = aead.seal(key, bytes(12), bytes(64), about)
    with pytest.raises(DecodeError):
        opened(b"\x01" + salt + Writer().opaque(ciphertext).data())


def test_secrets_have_their_size_and_show_nothing() -> None:
    with pytest.raises(UsageError):
        AccountSecret(bytes(15))
    with pytest.raises(UsageError):
        ArchiveKey(bytes(31))
    shown = f"{CONTENT} {CONTENT!r} {SECRET} {[SECRET]}"
    for secret in (ANNAS_KEY.to_bytes(), CONTENT.archive_key.reveal(), SECRET.reveal()):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
