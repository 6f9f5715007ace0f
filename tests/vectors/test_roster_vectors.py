"""Our published vectors of rosters: who follows what they hold ends where they say."""

from __future__ import annotations

import json

from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster import (
    Genesis,
    JoinedByLink,
    LeafCertificate,
    Role,
    Roster,
    RosterBinding,
    RosterState,
    decode_change,
)
from parlour.roster.entry import RosterEntry
from parlour.roster.links import JoinLink, verify_pass
from parlour.roster.naming import name_commitment
from tools import make_vectors

FILE = json.loads((make_vectors.FOLDER / "roster.json").read_text(encoding="utf-8"))
KEYS = {
    (bytes.fromhex(each["account"]), bytes.fromhex(each["device"])): Ed25519PrivateKey(
        bytes.fromhex(each["device_key"])
    )
    for each in FILE["people"]
}
ACCOUNTS = [account for account, _ in KEYS]
ACCOUNT_KEYS = {
    bytes.fromhex(each["account"]): bytes.fromhex(each["account_key"]) for each in FILE["people"]
}
GENESIS = Genesis.decode(bytes.fromhex(FILE["genesis"]))
LOG = [{name: value for name, value in each.items() if name != "changes"} for each in FILE["log"]]
LINK = JoinLink.from_text(FILE["link"]["text"])


def find_key(account: bytes, device: bytes) -> Ed25519PublicKey | None:
    return KEYS[account, device].public_key


def followed() -> list[Roster]:
    entries = [RosterEntry.decode(bytes.fromhex(each["entry"])) for each in LOG]
    rosters = [Roster.found(GENESIS, entries[0], find_key)]
    for entry in entries[1:]:
        rosters.append(rosters[-1].extend(entry, find_key))
    return rosters


def test_log_is_followed() -> None:
    assert GENESIS.hash().hex() == FILE["genesis_hash"]
    for roster, each in zip(followed(), FILE["log"], strict=True):
        assert roster.head_hash.hex() == each["hash"]
        assert roster.state.encode().hex() == each["state"]
        assert roster.binding == RosterBinding.decode(bytes.fromhex(each["binding"]))
        changes = tuple(decode_change(bytes.fromhex(change)) for change in each["changes"])
        assert changes == roster.head.changes


def test_every_state_is_taken_up() -> None:
    for roster, each in zip(followed(), LOG, strict=True):
        state, head = bytes.fromhex(each["state"]), bytes.fromhex(each["entry"])
        assert Roster.of_state(GENESIS, state, head, find_key) == roster


def test_where_the_story_ends() -> None:
    state = RosterState.decode(bytes.fromhex(LOG[-1]["state"]))
    anna, bea, carl, _ = ACCOUNTS
    assert state.ordered() == [anna, bea]
    assert state.effective_role(anna) is Role.OWNER
    assert state.barred == {carl}
    assert all(state.admits(account, ACCOUNT_KEYS[account]) for account in (anna, bea))
    assert not state.admits(carl, ACCOUNT_KEYS[carl])
    salt = bytes.fromhex(FILE["name"]["salt"])
    assert state.name_commitment == name_commitment(salt, FILE["name"]["name"])
    assert state.links[LINK.link_id].uses == 4


def test_link() -> None:
    assert LINK.to_text() == FILE["link"]["text"]
    assert LINK.key.to_bytes().hex() == FILE["link"]["key"]
    assert LINK.link_id.hex() == FILE["link"]["link_id"]
    (account, device), public_key = list(KEYS)[3], LINK.key.public_key.to_bytes()
    verify_pass(public_key, LINK.stream, account, device, bytes.fromhex(FILE["link"]["pass"]))
    (join,) = RosterEntry.decode(bytes.fromhex(LOG[3]["entry"])).changes
    assert isinstance(join, JoinedByLink)
    key = ACCOUNT_KEYS[account]
    assert LINK.sign_join(GENESIS.roster_id, account, device, key) == join


def test_certificate() -> None:
    certificate = LeafCertificate.decode(bytes.fromhex(FILE["certificate"]))
    certificate.verify(KEYS[certificate.account, certificate.device].public_key)
