"""Public prekeys and bundles: encoding, signatures, expiry, downgrade."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.double_ratchet import LocalDevice, Prekey, PrekeyBundle, PrekeyKind, limits
from parlour.errors import Code
from tests.pairs import NOW, Device, refused, seeded

BEA = Device("bea")
BUNDLE = BEA.bundle()
LATER = NOW + limits.PREKEY_LIFETIME


def test_bundle_survives_the_wire_and_verifies() -> None:
    decoded = PrekeyBundle.from_bytes(BUNDLE.to_bytes(), BEA.identity)
    assert decoded == BUNDLE
    assert decoded.verify(NOW) is decoded


def test_prekey_survives_the_wire() -> None:
    for prekey in (BUNDLE.signed_prekey, BUNDLE.one_time_prekey, BUNDLE.kem_prekey):
        assert prekey is not None
        assert Prekey.from_bytes(prekey.to_bytes()) == prekey
        assert prekey.verify(BEA.identity, NOW) is prekey


@pytest.mark.parametrize(
    "change",
    [
        {"id": 999},
        {"expiry": LATER + 1},
        {"public_key": bytes(32)},
        {"kind": PrekeyKind.X25519_ONE_TIME},
        {"index": 5},
        {"signature": bytes(64)},
    ],
)
def test_signature_covers_every_field(change: dict[str, object]) -> None:
    changed = dataclasses.replace(BUNDLE.signed_prekey, **change)  # type: ignore[arg-type]
    refused(Code.CRYPTO_SIGNATURE, changed.verify, BEA.identity, NOW)


def test_prekey_of_another_device_is_refused() -> None:
    other = LocalDevice.generate(bytes(16), seeded("other")).identity
    refused(Code.CRYPTO_SIGNATURE, BUNDLE.signed_prekey.verify, other, NOW)


def test_one_verified_signature_does_not_cover_another_tree() -> None:
    verified: set[bytes] = set()
    BUNDLE.signed_prekey.verify(BEA.identity, NOW, verified)
    changed = dataclasses.replace(BUNDLE.signed_prekey, id=7)
    refused(Code.CRYPTO_SIGNATURE, changed.verify, BEA.identity, NOW, verified)
    assert len(verified) == 1


def test_expired_prekey_is_refused() -> None:
    BUNDLE.signed_prekey.verify(BEA.identity, LATER - 1)
    refused(Code.PREKEY_EXPIRED, BUNDLE.signed_prekey.verify, BEA.identity, LATER)
    refused(Code.PREKEY_EXPIRED, BUNDLE.verify, LATER)


def test_prekeys_must_be_of_the_kind_they_are_used_for() -> None:
    one, kem = BUNDLE.one_time_prekey, BUNDLE.kem_prekey
    assert one is not None
    assert kem is not None
    for changed in (
        dataclasses.replace(BUNDLE, signed_prekey=one),
        dataclasses.replace(BUNDLE, one_time_prekey=BUNDLE.signed_prekey),
        dataclasses.replace(BUNDLE, kem_prekey=one),
    ):
        refused(Code.DECODE_MALFORMED, changed.verify, NOW)


def test_only_a_device_without_kem_may_have_a_bundle_without() -> None:
    refused(Code.PREKEY_DOWNGRADE, dataclasses.replace(BUNDLE, kem_prekey=None).verify, NOW)
    classical = Device("carl", has_kem=False)
    assert classical.bundle().verify(NOW).kem_prekey is None


def test_bundle_without_one_time_prekey_verifies() -> None:
    bundle = dataclasses.replace(BUNDLE, one_time_prekey=None)
    assert PrekeyBundle.from_bytes(bundle.to_bytes(), BEA.identity).verify(NOW) == bundle


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (0, b"\x02", Code.DECODE_VERSION),
        (1, b"\x05", Code.DECODE_MALFORMED),  # kind
        (1, b"\x03", Code.DECODE_MALFORMED),  # a KEM key of 32 bytes
        (47, b"\xff", Code.DECODE_MALFORMED),  # index beyond the path
    ],
)
def test_malformed_prekeys_are_refused(offset: int, value: bytes, code: Code) -> None:
    data = BUNDLE.signed_prekey.to_bytes()
    refused(code, Prekey.from_bytes, data[:offset] + value + data[offset + 1 :])


def test_path_must_be_whole_hashes() -> None:
    changed = dataclasses.replace(BUNDLE.signed_prekey, path=bytes(33), index=0)
    refused(Code.DECODE_MALFORMED, Prekey.from_bytes, changed.to_bytes())
    long = dataclasses.replace(BUNDLE.signed_prekey, path=bytes(9 * 32), index=0)
    refused(Code.DECODE_OVERSIZED, Prekey.from_bytes, long.to_bytes())


def test_trailing_bytes_are_refused() -> None:
    refused(Code.DECODE_TRAILING, Prekey.from_bytes, BUNDLE.signed_prekey.to_bytes() + b"x")
    refused(Code.DECODE_TRAILING, PrekeyBundle.from_bytes, BUNDLE.to_bytes() + b"x", BEA.identity)


def test_prekeys_of_several_uploads_make_one_bundle() -> None:
    device = Device("dora")
    old = device.bundle()
    now = NOW + limits.ROTATION_PERIOD
    device.prekeys.maintain(now, device.random, one_time_left=0)
    device.upload()
    mixed = dataclasses.replace(device.bundle(), kem_prekey=old.kem_prekey)
    signatures = {
        prekey.signature
        for prekey in (mixed.signed_prekey, mixed.one_time_prekey, mixed.kem_prekey)
        if prekey is not None
    }
    assert len(signatures) == 2
    assert mixed.verify(now) is mixed
    assert old.kem_prekey is not None
    forged = dataclasses.replace(old.kem_prekey, signature=mixed.signed_prekey.signature)
    refused(Code.CRYPTO_SIGNATURE, dataclasses.replace(mixed, kem_prekey=forged).verify, now)
