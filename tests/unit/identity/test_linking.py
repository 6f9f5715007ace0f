"""Linking: two devices, and everybody who might sit between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from parlour.codec import Reader, Writer
from parlour.errors import Code, DecodeError, LimitError, ParlourError, UsageError
from parlour.identity.device_list import DeviceListState, next_entry
from parlour.identity.link_messages import (
    MAX_OFFERED_PREKEYS,
    MAX_SNAPSHOT,
    AnswerContent,
    Greeting,
    Offer,
    mac_key,
    nonce_commitment,
    offer_hash,
)
from parlour.identity.link_text import SCHEME, LinkSecret, LinkText, Shows
from parlour.identity.linking import (
    LIFETIME_SECONDS,
    LinkedAccount,
    NewDeviceLink,
    OldDeviceLink,
    OwnAccount,
    ServerPlace,
)
from parlour.identity.vault import AccountSecret
from parlour.primitives.agreement import X25519PrivateKey
from tests.accounts import ANNA, ANNAS_KEY, LAPTOP, NOW, PHONE, TABLET, begun, signing_key
from tests.pairs import seeded

PLACE = ServerPlace("chat.example", "192.0.2.1", 8443, bytes(32))
ACCOUNT = OwnAccount(ANNA, ANNAS_KEY.public_key, "anna")
PREKEYS = (b"signed prekey", b"last resort")
SECRET = AccountSecret(b"account secret 1")
LAST = NOW + LIFETIME_SECONDS - 1


def refused(call: Callable[[], object]) -> Code:
    with pytest.raises(ParlourError) as caught:
        call()
    return caught.value.code


def shown_by_new(seed: str = "", name: str = "anna") -> tuple[NewDeviceLink, OldDeviceLink]:
    new = NewDeviceLink.show(
        PLACE,
        device=LAPTOP,
        prekeys=PREKEYS,
        now=NOW,
        account_name=name,
        random=seeded(f"new {seed}"),
    )
    text = LinkText.from_text(new.text.to_text())
    old = OldDeviceLink.scan(text, PLACE, ACCOUNT, now=NOW, random=seeded(f"old {seed}"))
    return new, old


def shown_by_old(seed: str = "") -> tuple[NewDeviceLink, OldDeviceLink]:
    old = OldDeviceLink.show(PLACE, ACCOUNT, now=NOW, random=seeded(f"old {seed}"))
    return scanned(old, f"new {seed}"), old


def scanned(old: OldDeviceLink, seed: str) -> NewDeviceLink:
    text = LinkText.from_text(old.text.to_text())
    return NewDeviceLink.scan(text, device=LAPTOP, prekeys=PREKEYS, now=NOW, random=seeded(seed))


BOTH_WAYS = pytest.mark.parametrize("begin", [shown_by_new, shown_by_old])
Begin = Callable[[], tuple[NewDeviceLink, OldDeviceLink]]


def grown(*more: object) -> DeviceListState:
    return begun().extend(next_entry(begun(), ANNAS_KEY, (PHONE, LAPTOP), NOW))


def answered(old: OldDeviceLink, **changes: object) -> bytes:
    values: dict[str, object] = {
        "secret": SECRET,
        "pin": bytes(32),
        "snapshot": b"contacts",
        "now": LAST,
        "random": seeded("answer"),
    }
    return old.answer(ANNAS_KEY, grown(), **(values | changes))  # type: ignore[arg-type]


def compared(new: NewDeviceLink, old: OldDeviceLink) -> tuple[str, str]:
    """Both go up to the comparison; the codes that they show."""
    new.receive_greeting(old.receive_offer(new.offer, now=LAST), now=LAST)
    return new.code, old.receive_opening(new.opening, now=LAST)


@BOTH_WAYS
def test_a_device_is_linked(begin: Begin) -> None:
    new, old = begin()
    assert new.text.mailbox == old.text.mailbox
    greeting = old.receive_offer(new.offer, now=NOW)
    assert old.offer is not None
    assert (old.offer.device, old.offer.prekeys) == (LAPTOP, PREKEYS)
    assert new.receive_greeting(greeting, now=NOW) == ACCOUNT
    code = old.receive_opening(new.opening, now=NOW)
    assert code == old.code == new.code
    assert [len(part) for part in code.split()] == [3, 3]
    assert code.replace(" ", "").isdecimal()
    state = grown()
    answer = old.answer(ANNAS_KEY, state, secret=SECRET, pin=None, snapshot=b"contacts", now=NOW)
    assert new.receive_answer(answer, now=NOW) == LinkedAccount(
        account_id=ANNA,
        account_key=ANNAS_KEY.public_key,
        name="anna",
        server="chat.example",
        pin=None,
        secret=SECRET,
        list_number=1,
        list_hash=state.head_hash,
        snapshot=b"contacts",
    )


def test_the_new_device_need_not_know_the_accounts_name() -> None:
    new, old = shown_by_new(name="")
    greeting = old.receive_offer(new.offer, now=NOW)
    assert new.receive_greeting(greeting, now=NOW).name == "anna"


def test_each_link_has_its_own_code() -> None:
    codes = {compared(*shown_by_new(str(n)))[0] for n in range(20)}
    assert len(codes) == 20


# --- A stranger who photographed the code -------------------------------------------------


def mallorys_offer(text: LinkText) -> NewDeviceLink:
    """An offer of another device by who has the secret, whoever shows the code."""
    shown = replace(text, shows=Shows.OLD)
    return NewDeviceLink.scan(shown, device=TABLET, prekeys=(), now=NOW, random=seeded("mallory"))


def mallorys_side(text: LinkText, account: OwnAccount) -> OldDeviceLink:
    """Another account's answer by who has the secret, whoever shows the code."""
    shown = replace(text, shows=Shows.NEW, account_name="")
    return OldDeviceLink.scan(shown, PLACE, account, now=NOW, random=seeded("mallory"))


def test_nobody_speaks_for_the_new_device_that_showed_its_code() -> None:
    new, old = shown_by_new()
    fake = mallorys_offer(new.text).offer
    assert refused(lambda: old.receive_offer(fake, now=NOW)) is Code.LINK_MISMATCH
    compared(new, old)  # and the true one still goes on


def test_nobody_speaks_for_the_old_device_that_showed_its_code() -> None:
    new, old = shown_by_old()
    hers = Greeting(bytes(16), signing_key("mallory").public_key, "anna", bytes(16))
    fake = hers.encode(mac_key(old.text.secret), offer_hash(new.offer))
    assert refused(lambda: new.receive_greeting(fake, now=NOW)) is Code.LINK_MISMATCH
    assert len(set(compared(new, old))) == 1


def test_who_takes_the_new_devices_place_shows_another_code() -> None:
    """With the server's help: the true offer is held back, the stranger's is delivered."""
    new, old = shown_by_old()
    mallory = mallorys_offer(old.text)
    mallory.receive_greeting(old.receive_offer(mallory.offer, now=NOW), now=NOW)
    at_old = old.receive_opening(mallory.opening, now=NOW)
    # She plays the old device to the new one, and has to keep to the true greeting's content.
    greeting = Greeting(ANNA, ANNAS_KEY.public_key, "anna", old._nonce)
    passed_on = greeting.encode(mac_key(old.text.secret), offer_hash(new.offer))
    new.receive_greeting(passed_on, now=NOW)
    assert new.code != at_old


def test_who_takes_the_old_devices_place_shows_another_code() -> None:
    new, old = shown_by_new(name="")
    hers = OwnAccount(bytes(16), signing_key("mallory").public_key, "anna")
    mallory = mallorys_side(new.text, hers)
    new.receive_greeting(mallory.receive_offer(new.offer, now=NOW), now=NOW)
    old.receive_offer(new.offer, now=NOW)
    assert old.receive_opening(new.opening, now=NOW) != new.code


def test_the_new_device_is_bound_to_its_nonce_before_it_sees_the_old_ones() -> None:
    """Else its place-taker would try nonces until the code fits."""
    new, old = shown_by_old()
    old.receive_offer(new.offer, now=NOW)
    for other in (bytes(16), b"", new.opening + b"\x00"):
        assert refused(lambda o=other: old.receive_opening(o, now=NOW)) is Code.LINK_MISMATCH  # type: ignore[misc]
    assert len(old.receive_opening(new.opening, now=NOW)) == 7


def test_an_answer_needs_the_account_key_that_was_greeted_with() -> None:
    """Who has the secret can encrypt an answer, and it is worth nothing."""
    new, old = shown_by_old()
    compared(new, old)
    fake = old.answer(
        signing_key("mallory"),
        grown(),
        secret=AccountSecret(bytes(16)),
        pin=None,
        snapshot=b"",
        now=NOW,
    )
    assert refused(lambda: new.receive_answer(fake, now=NOW)) is Code.LINK_MISMATCH


def test_a_code_for_another_account_or_server_is_refused() -> None:
    new, _ = shown_by_new()
    bea = OwnAccount(bytes(16), signing_key("bea").public_key, "bea")
    for place, account in ((PLACE, bea), (replace(PLACE, name="other.example"), ACCOUNT)):
        scan = lambda p=place, a=account: OldDeviceLink.scan(new.text, p, a, now=NOW)  # noqa: E731
        assert refused(scan) is Code.LINK_MISMATCH
    hers = mallorys_side(new.text, bea)
    greeting = hers.receive_offer(new.offer, now=NOW)
    assert refused(lambda: new.receive_greeting(greeting, now=NOW)) is Code.LINK_MISMATCH


def test_an_answer_from_another_server_is_refused() -> None:
    new, old = shown_by_old()
    compared(new, old)
    elsewhere = replace(old.text, server="other.example")
    old.text = elsewhere
    assert refused(lambda: new.receive_answer(answered(old), now=NOW)) is Code.LINK_MISMATCH


# --- Order, time, form --------------------------------------------------------------------


@BOTH_WAYS
def test_a_code_is_good_for_ten_minutes_on_each_side(begin: Begin) -> None:
    late = NOW + LIFETIME_SECONDS
    new, old = begin()
    assert refused(lambda: old.receive_offer(new.offer, now=late)) is Code.LINK_EXPIRED
    greeting = old.receive_offer(new.offer, now=LAST)
    assert refused(lambda: new.receive_greeting(greeting, now=late)) is Code.LINK_EXPIRED
    new.receive_greeting(greeting, now=LAST)
    assert refused(lambda: old.receive_opening(new.opening, now=late)) is Code.LINK_EXPIRED
    old.receive_opening(new.opening, now=LAST)
    assert refused(lambda: answered(old, now=late)) is Code.LINK_EXPIRED
    answer = answered(old)
    assert refused(lambda: new.receive_answer(answer, now=late)) is Code.LINK_EXPIRED
    new.receive_answer(answer, now=LAST)


@BOTH_WAYS
def test_each_step_comes_once_and_in_its_turn(begin: Begin) -> None:
    new, old = begin()
    for early in (
        lambda: new.code,
        lambda: old.code,
        lambda: new.receive_answer(b"", now=NOW),
        lambda: old.receive_opening(new.opening, now=NOW),
        lambda: answered(old),
    ):
        assert refused(early) is Code.USAGE_STATE
    greeting = old.receive_offer(new.offer, now=NOW)
    new.receive_greeting(greeting, now=NOW)
    assert refused(lambda: old.code) is Code.USAGE_STATE
    old.receive_opening(new.opening, now=NOW)
    answer = answered(old)
    new.receive_answer(answer, now=NOW)
    for again in (
        lambda: old.receive_offer(new.offer, now=NOW),
        lambda: new.receive_greeting(greeting, now=NOW),
        lambda: old.receive_opening(new.opening, now=NOW),
        lambda: new.receive_answer(answer, now=NOW),
    ):
        assert refused(again) is Code.USAGE_STATE
    assert repr(new) == "NewDeviceLink(DONE)"


def test_a_code_is_scanned_by_the_other_kind_of_device() -> None:
    new, old = shown_by_new()[0], shown_by_old()[1]
    assert (
        refused(lambda: NewDeviceLink.scan(new.text, device=LAPTOP, prekeys=(), now=NOW))
        is Code.LINK_INVALID
    )
    assert (
        refused(lambda: OldDeviceLink.scan(old.text, PLACE, ACCOUNT, now=NOW)) is Code.LINK_INVALID
    )


def test_no_answer_before_the_device_is_on_the_list() -> None:
    new, old = shown_by_new()
    compared(new, old)

    def give(state: DeviceListState) -> bytes:
        return old.answer(ANNAS_KEY, state, secret=SECRET, pin=None, snapshot=b"", now=NOW)

    assert refused(lambda: give(begun())) is Code.USAGE_STATE
    for forged in (
        replace(LAPTOP, has_kem=not LAPTOP.has_kem),
        replace(LAPTOP, identity_key=TABLET.identity_key),
    ):
        other = begun().extend(next_entry(begun(), ANNAS_KEY, (PHONE, forged), NOW))
        assert refused(partial(give, other)) is Code.USAGE_STATE
    new.receive_answer(give(grown()), now=NOW)


def test_the_old_device_names_the_new_one_and_answers_again_on_a_later_list() -> None:
    new, old = shown_by_new()
    compared(new, old)
    named = replace(LAPTOP, sealed_name=b"sealed name", added_at=NOW + 1)
    lists = [begun().extend(next_entry(begun(), ANNAS_KEY, (PHONE, named), NOW))]
    tablet = begun().extend(next_entry(begun(), ANNAS_KEY, (PHONE, TABLET), NOW))
    lists.append(tablet.extend(next_entry(tablet, ANNAS_KEY, (PHONE, TABLET, named), NOW)))
    answers = [
        old.answer(ANNAS_KEY, state, secret=SECRET, pin=None, snapshot=b"", now=NOW)
        for state in lists
    ]
    assert new.receive_answer(answers[1], now=NOW).list_number == 2


def test_a_new_device_goes_on_from_what_it_saved() -> None:
    for begin in (shown_by_new, shown_by_old):
        new, old = begin()
        saved = new.saved()
        greeting = old.receive_offer(new.offer, now=NOW)
        again = NewDeviceLink.resume(saved, lifetime=100, now=NOW)
        again.receive_greeting(greeting, now=NOW)
        assert (again.text, again.offer) == (new.text, new.offer)
        assert old.receive_opening(again.opening, now=NOW) == again.code
        answer = answered(old)
        late = NewDeviceLink.resume(saved, lifetime=100, now=NOW)
        late.receive_greeting(greeting, now=NOW + 99)
        expired = refused(partial(late.receive_answer, answer, now=NOW + 100))
        assert expired is Code.LINK_EXPIRED
        assert again.receive_answer(answer, now=NOW).secret == SECRET


def test_a_code_lives_no_longer_for_being_saved() -> None:
    new, old = shown_by_new()
    again = NewDeviceLink.resume(new.saved(), lifetime=LIFETIME_SECONDS + 1, now=NOW)
    greeting = old.receive_offer(new.offer, now=NOW)
    expired = refused(lambda: again.receive_greeting(greeting, now=LAST + 1))
    assert expired is Code.LINK_EXPIRED


def test_what_is_too_large_is_not_sent() -> None:
    new, old = shown_by_new()
    compared(new, old)
    assert refused(lambda: answered(old, snapshot=bytes(MAX_SNAPSHOT + 1))) is Code.LIMIT_SIZE
    linked = new.receive_answer(answered(old, snapshot=bytes(MAX_SNAPSHOT)), now=NOW)
    assert len(linked.snapshot) == MAX_SNAPSHOT
    with pytest.raises(LimitError):
        NewDeviceLink.show(
            PLACE, device=LAPTOP, prekeys=(b"",) * (MAX_OFFERED_PREKEYS + 1), now=NOW
        )


@BOTH_WAYS
def test_every_flipped_byte_is_refused_and_changes_nothing(begin: Begin) -> None:
    new, old = begin()

    def spoiled(data: bytes, take: Callable[[bytes], object]) -> None:
        for at in range(0, len(data), 3):
            damaged = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
            assert refused(lambda: take(damaged)) in {  # noqa: B023
                Code.LINK_MISMATCH,
                Code.CRYPTO_KEY,
                Code.DECODE_MALFORMED,
                Code.DECODE_TRAILING,
                Code.DECODE_TRUNCATED,
                Code.DECODE_OVERSIZED,
            }

    spoiled(new.offer, lambda data: old.receive_offer(data, now=NOW))
    greeting = old.receive_offer(new.offer, now=NOW)
    spoiled(greeting, lambda data: new.receive_greeting(data, now=NOW))
    new.receive_greeting(greeting, now=NOW)
    spoiled(new.opening, lambda data: old.receive_opening(data, now=NOW))
    old.receive_opening(new.opening, now=NOW)
    answer = answered(old)
    spoiled(answer, lambda data: new.receive_answer(data, now=NOW))
    assert new.receive_answer(answer, now=NOW).secret == SECRET


def test_an_offer_has_these_bytes() -> None:
    private = X25519PrivateKey(bytes(range(32)))
    offer = Offer(LAPTOP, private.public_key, nonce_commitment(bytes(16)), PREKEYS)
    data = offer.encode(bytes(32))
    assert Offer.decode(data, bytes(32)) == offer
    content = Reader(data).opaque()
    described = Writer()
    LAPTOP.write(described)
    assert content.startswith(described.data() + private.public_key.to_bytes())
    assert content.endswith(b"\x1a\x0dsigned prekey\x0blast resort")


def test_text_inside_messages_is_text() -> None:
    content = AnswerContent("s", None, SECRET, 1, bytes(32), b"").encode()
    with pytest.raises(DecodeError) as caught:
        AnswerContent.decode(b"\x01\xff" + content[2:])
    assert caught.value.code is Code.DECODE_MALFORMED


def test_secrets_do_not_show() -> None:
    new, old = shown_by_new()
    compared(new, old)
    answer = answered(old)
    shown = f"{new!r} {old!r} {new.text!r} {new.receive_answer(answer, now=NOW)!r}"
    for secret in (SECRET.reveal(), new.text.secret.reveal()):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


# --- The text ------------------------------------------------------------------------------


def test_text_round_trip_and_bytes() -> None:
    text = LinkText(Shows.OLD, "s", "h", 443, None, "anna", bytes(32), LinkSecret(bytes(range(16))))
    line = text.to_text()
    assert line.startswith(SCHEME)
    assert LinkText.from_text(line) == text
    assert LinkText.from_text(f" {line[:30]}\n{line[30:]} ") == text
    assert len(text.mailbox) == 16
    assert text.mailbox != replace(text, secret=LinkSecret(bytes(16))).mailbox


@pytest.mark.parametrize(
    "line",
    [
        "",
        SCHEME,
        "parlour:invite#AAAA",
        SCHEME + "A" * 1024,
        SCHEME + "####",
        SCHEME + "é",
        SCHEME + "AgE",  # format 2
        SCHEME + "AQM",  # shown by a third kind of device
        SCHEME + "AQEB_w",  # a name that is not UTF-8
    ],
)
def test_what_is_no_code_is_named(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        LinkText.from_text(line)
    assert caught.value.code is Code.LINK_INVALID


def test_a_cut_code_is_refused() -> None:
    line = shown_by_new()[0].text.to_text()
    for size in range(len(line)):
        assert refused(lambda s=size: LinkText.from_text(line[:s])) is Code.LINK_INVALID  # type: ignore[misc]


def test_a_code_fits_a_qr_code_that_a_camera_reads() -> None:
    """Version 12 at error correction M holds 287 bytes."""
    name, account = "chat.neighbours.example", "a" * 32
    new = NewDeviceLink.show(
        ServerPlace(name, name, 8443, bytes(32)),
        device=LAPTOP,
        prekeys=PREKEYS,
        now=NOW,
        account_name=account,
    )
    assert len(new.text.to_text()) <= 287
