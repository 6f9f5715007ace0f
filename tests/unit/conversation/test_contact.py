from dataclasses import replace

import pytest

from parlour.conversation.contact import Contact, Verification, formers
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import DeviceListEntry
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer


def _entry(seed: str) -> DeviceListEntry:
    device = MemoryDevice(MemoryServer(), "bob", seed=seed, account_id=b"b" * 16)
    return device.machine.contacts[b"b" * 16].head


_OLD, _NEW, _THIRD = _entry("old"), _entry("new"), _entry("third")
_CONTACT = Contact("bob", _OLD)


def test_the_first_key_is_trusted_and_a_second_only_shown() -> None:
    changed = _CONTACT.with_changed_key(_NEW)
    assert (changed.verification, changed.head, changed.stopped) == (
        Verification.UNVERIFIED,
        _NEW,
        False,
    )


def test_a_verified_key_holds_until_a_person_decides() -> None:
    stopped = _CONTACT.verified().with_changed_key(_NEW)
    assert stopped.stopped
    assert (stopped.head, stopped.offered) == (_OLD, _NEW)
    assert stopped.key_to_verify() == _NEW.account_key
    assert stopped.with_changed_key(_NEW).stopped
    former = formers((), _OLD, _NEW)
    assert stopped.verified() == Contact("bob", _NEW, Verification.VERIFIED, former=former)
    assert stopped.accepted() == Contact("bob", _NEW, Verification.UNVERIFIED, former=former)
    assert stopped.withdrawn() == _CONTACT.verified()


@pytest.mark.parametrize("act", ["accepted", "withdrawn"])
def test_there_is_nothing_to_accept_without_a_change(act: str) -> None:
    for contact in (_CONTACT, _CONTACT.verified()):
        with pytest.raises(ParlourError) as caught:
            getattr(contact, act)()
        assert caught.value.code is Code.USAGE_STATE


def test_is_kept_as_it_is() -> None:
    for contact in (_CONTACT, _CONTACT.verified().with_changed_key(_NEW)):
        assert Contact.decode(contact.encode()) == contact
    for broken in (b"", b"\xc0", _CONTACT.encode().replace(b"unverified", b"reliable!!")):
        with pytest.raises(ParlourError) as caught:
            Contact.decode(broken)
        assert caught.value.code is Code.STORE_VERSION


def test_knows_its_devices() -> None:
    (identity,) = _CONTACT.identities()
    assert _CONTACT.identity(identity.device_id) == identity
    assert _CONTACT.identity(bytes(16)) is None
    assert _CONTACT.state.device(identity.device_id) is not None


def test_knows_under_which_key_a_device_stood() -> None:
    old, new = (entry.account_key.to_bytes() for entry in (_OLD, _NEW))
    was, became = (entry.devices[0].device_id for entry in (_OLD, _NEW))
    assert list(_CONTACT.account_keys_of(was)) == [old]
    for changed in (
        _CONTACT.with_changed_key(_NEW),
        _CONTACT.verified().with_changed_key(_NEW),
        _CONTACT.verified().with_changed_key(_NEW).accepted(),
    ):
        assert set(changed.account_keys_of(was)) == {old}
        assert set(changed.account_keys_of(became)) == {new}
        assert changed.device_key(was) == _OLD.devices[0].signature_key
        assert changed.device_key(became) == _NEW.devices[0].signature_key
        assert changed.shown == _NEW
    later = _CONTACT.with_changed_key(_NEW).with_changed_key(_THIRD)
    assert later.device_key(was) == _OLD.devices[0].signature_key
    assert later.device_key(became) == _NEW.devices[0].signature_key
    assert later.device_key(bytes(16)) is None


def test_a_device_on_both_lists_stood_under_both_keys() -> None:
    same = replace(_NEW, devices=_OLD.devices)
    changed = _CONTACT.with_changed_key(same)
    keys = {entry.account_key.to_bytes() for entry in (_OLD, _NEW)}
    assert set(changed.account_keys_of(_OLD.devices[0].device_id)) == keys
