"""What is kept of a group, and what it refuses to do without."""

from __future__ import annotations

import pytest

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import Certificates
from parlour.conversation.groups.records import (
    GroupRecord,
    GroupState,
    Intent,
    Pending,
    RosterRecord,
    Sent,
    Want,
)
from parlour.errors import Code, StorageError
from parlour.mls.public.credentials import BasicCredential, X509Credential
from parlour.mls.public.policy import Policy
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster.certificate import LeafCertificate
from tests.rosters import genesis_of

_ID = bytes(16)
_CERTIFICATES = Certificates(lambda *_: None)


def _chat() -> Chat:
    record = GroupRecord(
        group=_ID, genesis=genesis_of().encode(), state=GroupState.ACTIVE, name="secret"
    )
    return Chat(record, Policy(_CERTIFICATES))


def test_reprs_say_nothing_of_what_is_in_them() -> None:
    chat = _chat()
    for shown in (
        chat,
        chat.record,
        Intent(_ID, _ID, 1, Want.RENAME, 1, name="secret", salt=b"secret"),
        Pending(Sent.COMMIT, _ID, b"secret", 0, 1),
        RosterRecord(b"secret", b"secret", {}),
    ):
        assert "secret" not in repr(shown)
        assert type(shown).__name__ in repr(shown)


def test_nothing_is_done_without_the_keys_or_the_roster() -> None:
    chat = _chat()
    for use in (chat.live, chat.known_roster):
        with pytest.raises(StorageError) as caught:
            use()
        assert caught.value.code is Code.STORE_BROKEN


def test_who_leaves_are_of_says_a_certificate_and_nothing_else() -> None:
    key, leaf_key = (Ed25519PrivateKey(bytes([n]) * 32) for n in (1, 2))
    certificate = LeafCertificate.create(
        key, account=_ID, leaf_key=leaf_key.public_key.to_bytes(), issued_at=1, expires_at=2
    )
    credential, leaf = BasicCredential(certificate.encode()), certificate.leaf_key
    certificates = Certificates(lambda *_: key.public_key)
    assert certificates.accepts(credential, leaf)
    assert not certificates.accepts(credential, key.public_key.to_bytes())
    assert not _CERTIFICATES.accepts(credential, leaf)
    for other in (X509Credential((certificate.encode(),)), BasicCredential(b"none")):
        assert not certificates.accepts(other, leaf)
        assert certificates.identity(other) == other.encode()
        assert not certificates.succeeds(credential, other)
    assert certificates.identity(credential) == certificate.account + certificate.device
