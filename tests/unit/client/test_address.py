import pytest

from parlour.client.address import Address
from parlour.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("example.org", Address("example.org", 8443), "example.org:8443"),
        ("example.org:99", Address("example.org", 99), "example.org:99"),
        ("127.0.0.1:1", Address("127.0.0.1", 1), "127.0.0.1:1"),
        ("::1", Address("::1", 8443), "[::1]:8443"),
        ("[::1]", Address("::1", 8443), "[::1]:8443"),
        ("[::1]:65535", Address("::1", 65535), "[::1]:65535"),
    ],
)
def test_addresses_are_read_and_shown(text: str, address: Address, shown: str) -> None:
    assert Address.parse(text) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "a:0",
        "a:65536",
        "a:b",
        "a:٣",
        "a:-1",
        "a/b",
        "a@b",
        "a b",
        "a#b",
        "a?b",
        "ä.example",
        "a:1:2",
        "[::1",
        "[::1]x",
        "[x]",
        "[::g]:1",
        "fe80::1%eth0",
        "a" * 254,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "literal"),
    [("127.0.0.1", True), ("::1", True), ("localhost", False), ("chat.example.org", False)],
)
def test_literal_addresses_need_no_look_up(host: str, literal: bool) -> None:
    assert Address(host).is_literal is literal
