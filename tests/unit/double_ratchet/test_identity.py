import dataclasses

from parlour.codec import Writer
from parlour.double_ratchet import DeviceIdentity, LocalDevice, device_id_of
from parlour.errors import Code
from parlour.primitives.hashes import sha256
from tests.pairs import refused, seeded


def test_device_id_is_the_hash_of_the_signature_key() -> None:
    local = LocalDevice.generate(bytes(16), seeded("x"))
    identity = local.identity
    assert identity.device_id == sha256(identity.signature_key.to_bytes())[:16]
    assert identity.device_id == device_id_of(identity.signature_key)


def test_device_id_of_another_key_is_refused() -> None:
    identity = LocalDevice.generate(bytes(16), seeded("x")).identity
    refused(Code.CRYPTO_KEY, lambda: dataclasses.replace(identity, device_id=bytes(16)))


def test_account_id_has_16_bytes() -> None:
    refused(Code.USAGE_INVALID, LocalDevice.generate, bytes(15), seeded("x"))


def test_private_keys_must_be_the_identitys() -> None:
    one = LocalDevice.generate(bytes(16), seeded("one"))
    two = LocalDevice.generate(bytes(16), seeded("two"))
    for change in ({"signature_key": two.signature_key}, {"identity_key": two.identity_key}):
        refused(Code.USAGE_INVALID, lambda change=change: dataclasses.replace(one, **change))


def test_bound_identity_holds_both_ids_and_both_keys() -> None:
    identity = LocalDevice.generate(b"a" * 16, seeded("x")).identity
    writer = Writer()
    identity.write_bound(writer)
    assert writer.data() == (
        b"a" * 16
        + identity.device_id
        + identity.signature_key.to_bytes()
        + identity.identity_key.to_bytes()
    )


def test_private_keys_do_not_show() -> None:
    local = LocalDevice.generate(bytes(16), seeded("x"))
    assert local.identity_key.to_bytes().hex() not in repr(local)
    assert repr(local.identity_key.to_bytes()) not in repr(local)
    assert isinstance(local.identity, DeviceIdentity)
