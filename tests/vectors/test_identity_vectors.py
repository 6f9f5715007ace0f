"""Our published vectors of accounts: what they hold opens, by what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parlour.identity.device import device_id_of
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.identity.device_name import open_device_name
from parlour.identity.link_messages import AnswerContent, read_sealed_answer, read_signed
from parlour.identity.link_side import SUITE, answer_info, answer_psk
from parlour.identity.link_text import LinkText
from parlour.identity.profile import Profile, ProfileKey, open_profile
from parlour.identity.recovery import RecoveryKey
from parlour.identity.recovery_vault import open_recovery_vault
from parlour.identity.vault import AccountSecret, open_lone_vault, open_vault
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from tools import make_vectors

FILE = json.loads((make_vectors.FOLDER / "identity.json").read_text(encoding="utf-8"))
ACCOUNT = {
    name: bytes.fromhex(value) for name, value in FILE["account"].items() if isinstance(value, str)
}
SECRET = AccountSecret(ACCOUNT["account_secret"])
PAPER = RecoveryKey.from_text(FILE["recovery"][0]["text"])
ENTRIES = [DeviceListEntry.decode(bytes.fromhex(each["entry"])) for each in FILE["device_list"]]


@pytest.mark.parametrize("value", FILE["recovery"], ids=lambda value: value["text"])
def test_recovery_key(value: dict[str, str]) -> None:
    key = RecoveryKey.from_text(value["text"].lower())
    assert key.reveal().hex() == value["key"]
    assert key.proof_key().to_bytes().hex() == value["proof_key"]
    assert key.vault_key().reveal().hex() == value["vault_key"]


def test_vaults_open() -> None:
    account_id, export_key = ACCOUNT["account_id"], ACCOUNT["export_key"]
    vault, lone, recovery = (
        bytes.fromhex(FILE["vaults"][name]) for name in ("vault", "lone_vault", "recovery_vault")
    )
    contents = [
        open_vault(vault, account_id=account_id, export_key=export_key, secret=SECRET),
        open_lone_vault(lone, account_id=account_id, export_key=export_key)[0],
        open_recovery_vault(recovery, account_id=account_id, key=PAPER.vault_key()).content,
    ]
    for content in contents:
        assert content.account_key.to_bytes() == ACCOUNT["account_key"]
        assert content.archive_key.reveal() == ACCOUNT["archive_key"]
        assert content.recovery == PAPER.vault_key()


def test_device_list_is_followed() -> None:
    first, second = ENTRIES
    state = DeviceListState.begin(ACCOUNT["account_id"], first)
    assert state.wants_approval(second)
    state = state.extend(second)
    assert [entry.hash().hex() for entry in ENTRIES] == [
        each["hash"] for each in FILE["device_list"]
    ]
    assert state.recovery_key == PAPER.proof_key().public_key
    keys = [Ed25519PrivateKey(bytes.fromhex(key)) for key in FILE["account"]["device_keys"]]
    listed = [device.device_id for device in state.devices]
    assert listed == [device_id_of(key.public_key) for key in keys]


@pytest.mark.parametrize("value", FILE["linking"], ids=lambda value: value["shows"])
def test_answer_opens(value: dict[str, Any]) -> None:
    text = LinkText.from_text(value["text"])
    assert text.mailbox.hex() == value["mailbox"]
    private_key = X25519PrivateKey(bytes.fromhex(value["random_new"][-1]))
    encapsulated, ciphertext = read_sealed_answer(bytes.fromhex(value["answer"]))
    plaintext = SUITE.open(
        private_key,
        encapsulated,
        ciphertext,
        info=answer_info(bytes.fromhex(value["offer"])),
        psk=answer_psk(text),
    )
    content = AnswerContent.decode(read_signed(plaintext)[0])
    assert content.secret == SECRET
    assert (content.list_number, content.list_hash) == (1, ENTRIES[1].hash())
    assert content.snapshot == b"contacts"


def test_profile_and_device_name_open() -> None:
    value = FILE["profile"]
    account_id = ACCOUNT["account_id"]
    sealed = bytes.fromhex(value["sealed"])
    profile = open_profile(
        sealed,
        key=ProfileKey(bytes.fromhex(value["key"])),
        account_id=account_id,
        version=7,
        digest=bytes.fromhex(value["hash"]),
    )
    assert profile == Profile(
        value["version"], value["name"], value["status"], bytes.fromhex(value["picture"])
    )
    name = open_device_name(
        bytes.fromhex(FILE["device_name"]["sealed"]),
        secret=SECRET,
        account_id=account_id,
        device_id=ENTRIES[1].devices[1].device_id,
    )
    assert name == FILE["device_name"]["name"]
