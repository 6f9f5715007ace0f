"""X3DH and PQXDH: both sides agree, and what the binding covers."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.double_ratchet import PrekeyKind, Suite, agreement
from parlour.double_ratchet.kdf import agreed_secret
from parlour.double_ratchet.messages import FirstHeader, KemPart
from parlour.errors import Code
from parlour.primitives.agreement import X25519PublicKey
from parlour.primitives.kem import MlKem1024PublicKey
from tests.pairs import Device, refused


@pytest.mark.parametrize("has_kem", [True, False])
@pytest.mark.parametrize("header_encryption", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_both_sides_agree(has_kem: bool, header_encryption: bool, batch: bool) -> None:
    ada, bea = Device("ada"), Device("bea", has_kem=has_kem, batch=batch)
    alice = agreement.initiate(
        ada.local, bea.bundle(), header_encryption=header_encryption, random=ada.random
    )
    secrets = bea.prekeys.find(alice.header)
    bob = agreement.respond(bea.local, ada.identity, alice.suite, secrets)
    assert alice.suite is Suite.choose(has_kem=has_kem, header_encryption=header_encryption)
    assert (alice.secret, alice.binding) == (bob.secret, bob.binding)
    assert len(alice.secret) == (96 if header_encryption else 32)
    assert alice.secret.hex() not in repr(alice)


def test_secret_of_pqxdh_is_the_papers() -> None:
    """DH1 to DH4 and SS, in the order of PQXDH §3.3, computed by hand from Bob's side."""
    ada, bea = Device("ada"), Device("bea")
    shared: list[bytes] = []

    def encapsulate(key: MlKem1024PublicKey) -> tuple[bytes, bytes]:
        shared[:] = key.encapsulate()
        return shared[0], shared[1]

    alice = agreement.initiate(
        ada.local, bea.bundle(), header_encryption=False, random=ada.random, encapsulate=encapsulate
    )
    secrets = bea.prekeys.find(alice.header)
    ephemeral = X25519PublicKey(alice.header.ephemeral_key)
    assert secrets.one_time is not None
    material = (
        secrets.signed.exchange(ada.identity.identity_key)
        + bea.local.identity_key.exchange(ephemeral)
        + secrets.signed.exchange(ephemeral)
        + secrets.one_time.exchange(ephemeral)
        + shared[1]
    )
    assert alice.secret == agreed_secret(material, b"parlour/1 pqxdh secret")


def test_low_order_keys_are_refused() -> None:
    ada, bea = Device("ada"), Device("bea")
    bundle = bea.bundle()
    weak = dataclasses.replace(bundle.signed_prekey, public_key=bytes(32))
    refused(
        Code.CRYPTO_KEY,
        lambda: agreement.initiate(
            ada.local,
            dataclasses.replace(bundle, signed_prekey=weak),
            header_encryption=False,
            random=ada.random,
        ),
    )


def test_binding_covers_everything() -> None:
    ada, bea, carl = (Device(name).identity for name in ("ada", "bea", "carl"))
    elsewhere = dataclasses.replace(ada, account_id=bytes(16))
    kem = KemPart(PrekeyKind.MLKEM1024_ONE_TIME, 3, bytes(1568))
    header = FirstHeader(bytes(32), 1, 2, kem)
    key = bytes(1568)
    bindings = [
        agreement.bind(Suite.PQXDH, ada, bea, header, key),
        agreement.bind(Suite.PQXDH_HEADER_ENCRYPTION, ada, bea, header, key),
        agreement.bind(Suite.PQXDH, bea, ada, header, key),
        agreement.bind(Suite.PQXDH, elsewhere, bea, header, key),
        agreement.bind(Suite.PQXDH, ada, carl, header, key),
        agreement.bind(Suite.PQXDH, ada, bea, header, bytes(1567) + b"x"),
        agreement.bind(Suite.PQXDH, ada, bea, header, b""),
    ]
    for change in (
        {"signed_prekey_id": 9},
        {"one_time_prekey_id": 9},
        {"one_time_prekey_id": None},
        {"kem": dataclasses.replace(kem, id=9)},
        {"kem": dataclasses.replace(kem, kind=PrekeyKind.MLKEM1024_LAST_RESORT)},
    ):
        changed = dataclasses.replace(header, **change)
        bindings.append(agreement.bind(Suite.PQXDH, ada, bea, changed, key))
    assert len(set(bindings)) == len(bindings)
