import base64
from dataclasses import replace

import pytest

from parlour.codec import Writer
from parlour.errors import Code, UsageError
from parlour.identity.invite import SCHEME, Invite, InviteSecret
from tests.accounts import ANNAS_KEY

INVITE = Invite(
    server="chat.example",
    host="2001:db8::1",
    port=8443,
    pin=bytes(range(32)),
    secret=InviteSecret(b"invite secret 16"),
    account_key=ANNAS_KEY.public_key.to_bytes(),
    expires_at=1_900_000_000,
)
OPEN = Invite("chat.example", "chat.example", 443, None, None)


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        Invite.from_text(text)
    assert caught.value.code is Code.USAGE_INVALID
    return caught.value.detail


@pytest.mark.parametrize(
    "invite", [INVITE, OPEN, replace(INVITE, server="a" * 260, host="b" * 260)]
)
def test_round_trip(invite: Invite) -> None:
    assert Invite.from_text(invite.to_text()) == invite


def test_text_has_these_bytes() -> None:
    data = b"\x01\x0cchat.example\x0cchat.example\x01\xbb\x00\x00\x00\x00" + bytes(8)
    assert OPEN.to_text() == SCHEME + base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_blanks_of_copying_are_ignored() -> None:
    text = INVITE.to_text()
    wrapped = "\n ".join(text[start : start + 20] for start in range(0, len(text), 20))
    assert Invite.from_text(f"\t {wrapped}\r\n") == INVITE


def test_every_truncation_is_refused() -> None:
    text = INVITE.to_text()
    for size in range(len(text)):
        assert refused(text[:size])


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "begins with"),
        ("parlour:invite", "begins with"),
        (INVITE.to_text().upper(), "begins with"),
        (SCHEME, "damaged"),
        (SCHEME + "A" * 1025, "begins with"),
        (SCHEME + "!" * 20, "damaged"),
        (SCHEME + "ä" * 20, "damaged"),
        (SCHEME + "\ud800", "damaged"),
        (SCHEME + "A", "damaged"),
        (INVITE.to_text() + "AAAA", "damaged"),
        (INVITE.to_text() + "#x", "damaged"),
    ],
)
def test_damaged_text(text: str, because: str) -> None:
    assert because in refused(text)


def test_name_that_is_not_utf_8() -> None:
    data = base64.urlsafe_b64encode(b"\x01\x01\xff\x00\x00\x01\x00\x00\x00" + bytes(8)).decode()
    assert "damaged" in refused(SCHEME + data)


def test_presence_byte_that_is_neither() -> None:
    data = base64.urlsafe_b64encode(b"\x01\x00\x00\x00\x01\x02\x00\x00" + bytes(8)).decode()
    assert "damaged" in refused(SCHEME + data)


def test_name_that_is_too_long() -> None:
    data = Writer().uint8(1).opaque(b"a" * 261).opaque(b"").uint16(1).data() + bytes(11)
    assert "damaged" in refused(SCHEME + base64.urlsafe_b64encode(data).decode())


def test_later_version_is_not_called_damaged() -> None:
    data = base64.urlsafe_b64encode(b"\x02 what comes then").decode()
    assert "version" in refused(SCHEME + data)


@pytest.mark.parametrize(
    "change", [{"port": 65_536}, {"port": -1}, {"pin": bytes(31)}, {"account_key": bytes(33)}]
)
def test_what_can_not_be_written(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(INVITE, **change).to_text()  # type: ignore[arg-type]


def test_repr_shows_no_secret() -> None:
    assert "invite secret" not in f"{INVITE} {INVITE!r}"
    assert "[secret]" in repr(INVITE)
