"""`process` of a member: refused messages change nothing, whatever they are.

The first byte says how the rest arrives: as it is, or, so that the fuzzer gets past signatures and
tags, as the content of a message that a malicious member signed.
"""

from __future__ import annotations

from typing import Final

from parlour.codec import decode
from parlour.errors import ParlourError
from parlour.mls import Group, Identity, KeyPackageBundle, WelcomeJoin
from parlour.mls.private.protection import protect_public
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.public.commit import Commit
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import PublicMessage, decode_message, encode_message
from parlour.mls.public.proposals import Add, Remove, encode_proposal, read_proposal
from parlour.mls.public.types import LeafIndex, WireFormat
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded

_NOW: Final = 1_900_000_000
_RAW, _COMMIT, _PROPOSAL = range(3)


def _people() -> tuple[Group, bytes, list[bytes]]:
    """Ada, who is malicious; the record of Bea, who reads; and valid inputs."""
    random = seeded("fuzz mls process")
    ada, bea, cid = (
        Identity.generate(BasicCredential(name), random=random) for name in (b"ada", b"bea", b"cid")
    )
    group = Group.create(ada, b"group", _NOW, policy=OPEN_POLICY, random=random)
    bundles = [KeyPackageBundle.create(who, _NOW, random=random) for who in (bea, cid)]
    pending = group.commit(_NOW, adds=[bundles[0].key_package], random=random)
    group.merge(pending, _NOW)
    assert pending.welcome is not None
    joined, _ = Group.join(pending.welcome, [bundles[0]], _NOW, WelcomeJoin(OPEN_POLICY))
    record = dump_group(joined)
    commits, bodies = [], []
    for adds in ((), [bundles[1].key_package]):
        pending = group.commit(_NOW, adds=adds, random=random)
        commits.append(pending.commit)
        message = decode_message(pending.commit)
        assert isinstance(message, PublicMessage)
        bodies.append(message.content.encoded_body)
        group.clear_pending()
    raw = [*commits, group.encrypt(b"text", random=random)]
    proposals = [
        encode_proposal(Remove(LeafIndex(1))),
        encode_proposal(Add(bundles[1].key_package)),
    ]
    seeds = [
        *(bytes((_RAW,)) + data for data in raw),
        *(bytes((_COMMIT,)) + data for data in bodies),
        *(bytes((_PROPOSAL,)) + data for data in proposals),
    ]
    return group, record, seeds


_ADA, _RECORD, SEEDS = _people()
_BEA: Final = load_group(_RECORD, OPEN_POLICY)


def _forge(body: Body) -> bytes:
    """A message of Ada's with that content."""
    current = _ADA.current
    content = FramedContent.of(
        b"group", current.context.epoch, Sender.member(LeafIndex(0)), b"", body
    )
    signature = sign_content(
        current.suite, current.identity.signer, WireFormat.PUBLIC_MESSAGE, content, current.context
    )
    auth = AuthData(signature, b"t" * 32 if isinstance(body, Commit) else None)
    message = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, auth)
    key = current.secrets.membership_key
    return encode_message(protect_public(current.suite, key, current.context, message))


def _arrives(data: bytes) -> bytes:
    kind = data[0] % 3 if data else _RAW
    if kind == _COMMIT:
        return _forge(decode(data[1:], Commit.read))
    if kind == _PROPOSAL:
        return _forge(decode(data[1:], read_proposal))
    return data[1:]


def target(data: bytes) -> None:
    message = _arrives(data)
    before = dump_group(_BEA)
    try:
        _BEA.receive(message, _NOW)
    except ParlourError:
        assert dump_group(_BEA) == before
        raise
    if dump_group(_BEA) != before:
        # A proposal was remembered or a message read: begin again for the next input.
        _BEA.member.proposals = load_group(_RECORD, OPEN_POLICY).member.proposals
        _BEA.member.secret_tree = load_group(_RECORD, OPEN_POLICY).member.secret_tree
