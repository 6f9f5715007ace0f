"""What belongs to an account, with all inputs, for `tools.make_vectors`."""

from __future__ import annotations

from typing import Any, Final

from parlour.identity.device import Device
from parlour.identity.device_list import (
    DeviceListEntry,
    DeviceListState,
    first_entry,
    next_entry,
)
from parlour.identity.device_name import seal_device_name
from parlour.identity.linking import (
    LinkText,
    NewDeviceLink,
    OldDeviceLink,
    OwnAccount,
    ServerPlace,
)
from parlour.identity.profile import Profile, ProfileKey, profile_hash, seal_profile
from parlour.identity.recovery import RecoveryKey
from parlour.identity.recovery_vault import Recovered, seal_recovery_vault
from parlour.identity.vault import (
    AccountSecret,
    ArchiveKey,
    VaultContent,
    seal_lone_vault,
    seal_vault,
)
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from tools.vectors.double_ratchet import NOW, Draws

DESCRIPTION: Final = (
    "Accounts of Parlour, version 1: recovery keys, vaults, device lists, linking, profiles. All "
    "byte strings are hex. `random` lists the draws of an operation in order. In `linking`, the "
    "new device's draws are secret (where it shows), nonce and X25519 key, the old one's secret "
    "(where it shows) and nonce; the last is the ephemeral key of HPKE."
)
_SERVER: Final = "chat.example"


class _Account:
    """The account that all vectors are about."""

    def __init__(self) -> None:
        draws = Draws("identity")
        self.account_id = draws(16)
        self.account_key = Ed25519PrivateKey.generate(draws)
        self.archive_key = ArchiveKey.generate(draws)
        self.secret = AccountSecret.generate(draws)
        self.paper = RecoveryKey.generate(draws)
        self.export_key = draws(64)
        self.old_key, self.old = _device(draws)
        self.new_key, self.new = _device(draws)

    @property
    def content(self) -> VaultContent:
        """What the vault holds."""
        return VaultContent(self.account_key, self.archive_key, self.paper.vault_key())

    def guarded(self) -> DeviceListEntry:
        """Entry 0: one device, a recovery key, and the demand for approval."""
        return first_entry(
            self.account_id,
            self.account_key,
            self.old,
            NOW,
            recovery_key=self.paper.proof_key().public_key,
            needs_approval=True,
        )

    def grown(self) -> DeviceListEntry:
        """Entry 1: the new device, approved by the old one and by the paper."""
        state = DeviceListState.begin(self.account_id, self.guarded())
        entry = next_entry(state, self.account_key, (self.old, self.new), NOW + 1)
        return entry.approve(self.old_key).approve(self.paper.proof_key())


def _device(draws: Draws) -> tuple[Ed25519PrivateKey, Device]:
    key, agreement = Ed25519PrivateKey.generate(draws), X25519PrivateKey.generate(draws)
    return key, Device(key.public_key, agreement.public_key, has_kem=True, added_at=NOW)


def make(_: Any) -> Any:
    """The whole file."""
    account = _Account()
    return {
        "description": DESCRIPTION,
        "now": NOW,
        "account": {
            "account_id": account.account_id.hex(),
            "account_key": account.account_key.to_bytes().hex(),
            "archive_key": account.archive_key.reveal().hex(),
            "account_secret": account.secret.reveal().hex(),
            "export_key": account.export_key.hex(),
            "device_keys": [key.to_bytes().hex() for key in (account.old_key, account.new_key)],
        },
        "recovery": _recovery(account),
        "vaults": _vaults(account),
        "device_list": [
            {"entry": entry.encode().hex(), "hash": entry.hash().hex()}
            for entry in (account.guarded(), account.grown())
        ],
        "linking": [_linking(account, shows_new=True), _linking(account, shows_new=False)],
        "profile": _profile(account),
        "device_name": _device_name(account),
    }


def _recovery(account: _Account) -> Any:
    keys = (account.paper, RecoveryKey(bytes(16)), RecoveryKey(b"\xff" * 16))
    return [
        {
            "key": key.reveal().hex(),
            "text": key.to_text(),
            "proof_key": key.proof_key().to_bytes().hex(),
            "proof_public_key": key.proof_key().public_key.to_bytes().hex(),
            "vault_key": key.vault_key().reveal().hex(),
        }
        for key in keys
    ]


def _vaults(account: _Account) -> Any:
    draws = Draws("vaults")
    both = {"account_id": account.account_id, "random": draws}
    by_password = {"export_key": account.export_key, "secret": account.secret}
    recovered = Recovered(account.content, account.secret)
    made = {
        "vault": seal_vault(account.content, **both, **by_password),  # type: ignore[arg-type]
        "lone_vault": seal_lone_vault(account.content, **both, **by_password),  # type: ignore[arg-type]
        "recovery_vault": seal_recovery_vault(
            recovered,
            key=account.paper.vault_key(),
            **both,  # type: ignore[arg-type]
        ),
    }
    return {name: vault.hex() for name, vault in made.items()} | {"random": draws.taken()}


def _linking(account: _Account, *, shows_new: bool) -> Any:
    of_new, of_old = Draws(f"new {shows_new}"), Draws(f"old {shows_new}")
    place = ServerPlace(_SERVER, "192.0.2.1", 8443, bytes(32))
    own = OwnAccount(account.account_id, account.account_key.public_key, "anna")
    offered = {"device": account.new, "prekeys": (b"signed", b"last resort"), "now": NOW}
    if shows_new:
        new = NewDeviceLink.show(place, random=of_new, **offered)  # type: ignore[arg-type]
        old = OldDeviceLink.scan(new.text, place, own, now=NOW, random=of_old)
    else:
        old = OldDeviceLink.show(place, own, now=NOW, random=of_old)
        new = NewDeviceLink.scan(old.text, random=of_new, **offered)  # type: ignore[arg-type]
    text: LinkText = new.text
    greeting = old.receive_offer(new.offer, now=NOW)
    new.receive_greeting(greeting, now=NOW)
    code = old.receive_opening(new.opening, now=NOW)
    state = DeviceListState.after(account.grown())
    answer = old.answer(
        account.account_key,
        state,
        secret=account.secret,
        pin=bytes(32),
        snapshot=b"contacts",
        now=NOW,
        random=of_old,
    )
    return {
        "shows": text.shows.name.lower(),
        "text": text.to_text(),
        "mailbox": text.mailbox.hex(),
        "random_new": of_new.taken(),
        "random_old": of_old.taken(),
        "offer": new.offer.hex(),
        "greeting": greeting.hex(),
        "opening": new.opening.hex(),
        "code": code,
        "answer": answer.hex(),
    }


def _profile(account: _Account) -> Any:
    draws = Draws("profile")
    key = ProfileKey.generate(draws)
    profile = Profile(7, "Anna", "on holiday", b"\xff\xd8picture")
    sealed = seal_profile(profile, key=key, account_id=account.account_id, random=draws)
    return {
        "random": draws.taken(),
        "key": key.reveal().hex(),
        "version": profile.version,
        "name": profile.name,
        "status": profile.status,
        "picture": profile.picture.hex(),
        "sealed": sealed.hex(),
        "hash": profile_hash(sealed).hex(),
    }


def _device_name(account: _Account) -> Any:
    draws = Draws("device name")
    sealed = seal_device_name(
        "laptop",
        secret=account.secret,
        account_id=account.account_id,
        device_id=account.new.device_id,
        random=draws,
    )
    return {"random": draws.taken(), "name": "laptop", "sealed": sealed.hex()}
