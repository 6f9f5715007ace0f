"""Registration with a recovery key, a device's name, and a passphrase, over real sockets."""

from __future__ import annotations

from parlour.errors import Code
from parlour.identity.device_name import open_device_name
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.identity.recovery_vault import open_recovery_vault
from parlour.identity.vault import AccountSecret
from tests.town import Town

from .homes import code_of, held, row

PAPER = RecoveryKey(bytes(range(16)))


async def test_the_recovery_key_stands_in_the_first_entry_and_its_copy_of_the_vault_opens(
    town: Town,
) -> None:
    async with town.serving() as server:
        await town.register("dora", recovery=PAPER)
        dora = await held(town, "dora")
        unlocked = await dora.unlock()
        (copy,) = await row(server, "dora", "recovery_vault")
    assert dora.contact.head.number == 0
    assert dora.contact.head.recovery_key == PAPER.proof_key().public_key
    recovered = open_recovery_vault(copy, account_id=dora.own.account_id, key=PAPER.vault_key())
    assert unlocked.recovery == PAPER.vault_key()
    assert recovered.content.account_key.to_bytes() == unlocked.account_key.to_bytes()
    assert recovered.content.archive_key == unlocked.archive_key
    assert recovered.secret == unlocked.secret
    assert not dora.account.begun


async def test_a_device_has_a_name_that_its_account_alone_reads(town: Town) -> None:
    async with town.serving():
        await town.register("dora", device_name="Dora's laptop")
    dora = await held(town, "dora")
    (device,) = dora.contact.head.devices
    assert b"laptop" not in device.sealed_name
    name = open_device_name(
        device.sealed_name,
        secret=AccountSecret(dora.account.secret),
        account_id=dora.own.account_id,
        device_id=device.device_id,
    )
    assert name == "Dora's laptop"


async def test_a_chosen_password_never_stands_alone(town: Town) -> None:
    async with town.serving():
        refused = town.register("dora", password="chosen by a person", lone=True)
        assert await code_of(refused) == Code.USAGE_INVALID
        await town.register("dora", password=Passphrase(("six", "words")))
        dora = await held(town, "dora", "six words")
        assert not (await dora.unlock("six words")).lone


async def test_where_no_passphrase_may_stand_alone_no_home_is_left(town: Town) -> None:
    async with town.serving() as server:
        refused = town.register("dora", password=Passphrase.generate(), lone=True)
        assert await code_of(refused) == Code.PASSPHRASE_REFUSED
        assert await row(server, "dora", "name") is None
    assert not (town.home("dora") / "vault.json").exists()
