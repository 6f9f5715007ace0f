"""Every MLS message: what decodes is encoded to the same bytes; lazy parts are read as well."""

from __future__ import annotations

from typing import Final

from parlour.mls import ExternalJoin, Group, Identity, KeyPackageBundle
from parlour.mls.public.commit import Commit
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.framing.messages import (
    PrivateMessage,
    PublicMessage,
    decode_message,
    encode_message,
)
from parlour.mls.public.proposals import Remove
from parlour.mls.public.types import LeafIndex
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded

_NOW: Final = 1_900_000_000


def _seeds() -> list[bytes]:
    random = seeded("fuzz mls messages")
    ada, bea = (
        Identity.generate(BasicCredential(name), random=random) for name in (b"ada", b"bea")
    )
    bundle = KeyPackageBundle.create(bea, _NOW, random=random)
    group = Group.create(ada, b"group", _NOW, policy=OPEN_POLICY, random=random)
    pending = group.commit(_NOW, adds=[bundle.key_package], random=random)
    group.merge(pending, _NOW)
    assert pending.welcome is not None
    cid, join = Identity.generate(BasicCredential(b"cid"), random=random), ExternalJoin(OPEN_POLICY)
    external = Group.join_external(group.group_info(), cid, _NOW, join).commit
    text = group.encrypt(b"text", random=random)
    proposal = group.propose(Remove(LeafIndex(1)), _NOW, random=random)
    path = group.commit(_NOW, random=random)
    info = group.group_info()
    return [
        bundle.message,
        pending.commit,
        pending.welcome,
        external,
        text,
        proposal,
        path.commit,
        info,
    ]


SEEDS: Final = _seeds()


def target(data: bytes) -> None:
    message = decode_message(data)
    assert encode_message(message) == data
    if isinstance(message, PublicMessage | PrivateMessage):
        assert len(message.group_id if isinstance(message, PrivateMessage) else b"") <= 255
    if isinstance(message, PublicMessage) and isinstance(message.content.body, Commit):
        path = message.content.body.path
        assert message.content.body.encode() == message.content.encoded_body
        for node in () if path is None else path.nodes:
            sealed = node.encrypted_path_secret
            again = b"".join(sealed[n].encode() for n in range(len(sealed)))
            assert sealed.encode().endswith(again)
