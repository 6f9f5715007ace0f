import pytest

from parlour.client.account import Account
from parlour.client.tls import Authorities, Pinned
from parlour.conversation.changes import Namespace, PutRecord
from parlour.errors import Code, StorageError

ACCOUNT = Account("home.test", "host.test", 8443, (b"p" * 32,), "plt_secret-token", b"secret")


def records(value: bytes) -> dict[Namespace, dict[bytes, bytes]]:
    return {Namespace.SERVER: {b"account": value}}


def test_an_account_is_what_it_was() -> None:
    change = ACCOUNT.change()
    assert isinstance(change, PutRecord)
    assert Account.load({change.namespace: {change.key: change.value}}) == ACCOUNT


@pytest.mark.parametrize("stored", [{}, records(b"\xff"), records(b"")])
def test_what_is_no_account_is_a_broken_store(
    stored: dict[Namespace, dict[bytes, bytes]],
) -> None:
    with pytest.raises(StorageError) as caught:
        Account.load(stored)
    assert caught.value.code is Code.STORE_BROKEN


def test_secrets_stay_out_of_the_repr() -> None:
    assert "secret" not in repr(ACCOUNT)


def test_a_server_is_known_by_its_pins_or_by_authorities() -> None:
    assert ACCOUNT.trust == Pinned.of([b"p" * 32])
    open_account = Account("home.test", "host.test", 8443, (), "", b"")
    assert isinstance(open_account.trust, Authorities)
    assert ACCOUNT.target.name == "home.test"
    assert str(ACCOUNT.target.address) == "host.test:8443"
