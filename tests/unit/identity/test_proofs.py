"""What is signed: no two uses, servers, people or records give the same bytes."""

from itertools import combinations

from parlour.identity import labels, proofs

ID = bytes(range(16))
HASH = bytes(range(32))


def test_messages_have_these_bytes() -> None:
    server, name = b"\x01s", b"\x01n"
    assert proofs.login_record(
        server="s", name="n", account_id=ID, record_version=1, upload=b"up"
    ) == (
        bytes((len(labels.LOGIN_RECORD),))
        + labels.LOGIN_RECORD
        + server
        + name
        + (b"\x10" + ID + b"\x01\x02up")
    )
    assert proofs.registration(server="s", pin=HASH, name="n", account_id=ID, transcript=HASH) == (
        bytes((len(labels.REGISTRATION_PROOF),))
        + labels.REGISTRATION_PROOF
        + server
        + (b"\x20" + HASH + name + b"\x10" + ID + b"\x20" + HASH)
    )
    assert proofs.login(server="s", pin=HASH, name="n", device_id=ID, transcript=HASH) == (
        bytes((len(labels.LOGIN_PROOF),))
        + labels.LOGIN_PROOF
        + server
        + (b"\x20" + HASH + name + b"\x10" + ID + b"\x20" + HASH)
    )
    number = (7).to_bytes(4)
    assert proofs.vaults(server="s", account_id=ID, number=7, vault=b"v", recovery_vault=b"rv") == (
        bytes((len(labels.VAULTS),))
        + labels.VAULTS
        + server
        + (b"\x10" + ID + number + b"\x01v\x02rv")
    )
    assert proofs.recovery(server="s", pin=HASH, name="n", nonce=HASH) == (
        bytes((len(labels.RECOVERY_CHALLENGE),))
        + labels.RECOVERY_CHALLENGE
        + server
        + (b"\x20" + HASH + name + b"\x20" + HASH)
    )
    assert proofs.reset(server="s", pin=HASH, name="n", device_id=ID, transcript=HASH) == (
        bytes((len(labels.RESET_PROOF),))
        + labels.RESET_PROOF
        + server
        + (b"\x20" + HASH + name + b"\x10" + ID + b"\x20" + HASH)
    )
    assert proofs.join(server="s", pin=HASH, name="n", device_id=ID, transcript=HASH) == (
        bytes((len(labels.JOIN_PROOF),))
        + labels.JOIN_PROOF
        + server
        + (b"\x20" + HASH + name + b"\x10" + ID + b"\x20" + HASH)
    )
    assert proofs.link(server="s", pin=HASH, mailbox=ID, device_id=ID) == (
        bytes((len(labels.LINK_PROOF),))
        + labels.LINK_PROOF
        + server
        + (b"\x20" + HASH + b"\x10" + ID + b"\x10" + ID)
    )


def test_fields_do_not_run_into_each_other() -> None:
    messages = [
        proofs.login_record(server=s, name=n, account_id=ID, record_version=v, upload=u)
        for s, n in (("ab", "c"), ("a", "bc"), ("abc", ""))
        for v, u in ((1, b"x"), (2, b"x"), (1, b""))
    ]
    for s, n in (("ab", "c"), ("a", "bc")):
        for p, h in ((b"12", b"3"), (b"1", b"23")):
            messages += [
                proofs.registration(server=s, pin=p, name=n, account_id=ID, transcript=h),
                proofs.login(server=s, pin=p, name=n, device_id=ID, transcript=h),
            ]
    assert len(set(messages)) == len(messages)


def test_labels_are_the_packages_own_and_differ() -> None:
    all_labels = [value for name, value in vars(labels).items() if name.isupper()]
    assert len(all_labels) == 30
    assert all(label.startswith(b"parlour/1 identity ") for label in all_labels)
    assert not any(a.startswith(b) or b.startswith(a) for a, b in combinations(all_labels, 2))
