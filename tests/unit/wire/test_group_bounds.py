"""What fits into the bodies of groups is read; what is larger by one is refused, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from parlour.errors import Code, DecodeError
from parlour.wire import groups, limits
from parlour.wire.body import Body
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.streams import Part

STREAM: Final = bytes(16)
ENVELOPE: Final = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_COMMIT, b"", b"")
COMMIT: Final[dict[str, Any]] = {"generation": 0, "commit": b"?", "roster": [], "welcome": b""}
PROPOSAL: Final[dict[str, Any]] = {"generation": 0, "proposal": b"?", "evidence": b""}
RESTART: Final[dict[str, Any]] = {
    "generation": 1,
    "roster": [],
    "reason": "",
    "group_info_hash": bytes(32),
    "signature": bytes(64),
}
HANDSHAKE: Final[dict[str, Any]] = {
    "stream": STREAM,
    "client_id": bytes(16),
    "generation": 0,
    "epoch": 0,
    "envelope": ENVELOPE,
    "parts": [],
    "group_info": b"",
}
STATE: Final[dict[str, Any]] = {
    "stream": STREAM,
    "genesis": b"",
    "generation": 0,
    "epoch": 0,
    "seq": 0,
    "group_info": b"",
    "tree": b"",
    "roster_state": b"",
    "roster_head": b"?",
}
UPLOAD: Final[dict[str, Any]] = {"suite": 1, "last_resort": False, "expires_at": 0, "data": b"?"}


def one(size: int) -> list[bytes]:
    return [bytes(size)]


def many(count: int) -> list[bytes]:
    return [b"?"] * count


def uploads(count: int) -> list[groups.KeyPackageUpload]:
    return [groups.KeyPackageUpload(**UPLOAD)] * count


def devices(count: int) -> list[bytes]:
    return [bytes(16)] * count


def parts(count: int) -> list[Part]:
    return [Part(bytes(16), b"?")] * count


Bound = tuple[type[Body], dict[str, Any], str, Callable[[int], Any], int]
IN_ENVELOPES: Final[list[Bound]] = [
    (groups.CommitBody, COMMIT, "commit", bytes, limits.MAX_HANDSHAKE_BODY),
    (groups.CommitBody, COMMIT, "roster", one, limits.MAX_ROSTER_ENTRY),
    (groups.CommitBody, COMMIT, "roster", many, limits.MAX_ROSTER_PER_COMMIT),
    (groups.CommitBody, COMMIT, "welcome", bytes, limits.MAX_GROUP_INFO),
    (groups.CommitBody, COMMIT, "wishes", one, limits.MAX_WISH),
    (groups.CommitBody, COMMIT, "wishes", many, limits.MAX_WISHES),
    (groups.ProposalBody, PROPOSAL, "proposal", bytes, limits.MAX_HANDSHAKE_BODY),
    (groups.ProposalBody, PROPOSAL, "evidence", bytes, limits.MAX_ROSTER_ENTRY),
    (groups.RestartBody, RESTART, "roster", one, limits.MAX_ROSTER_ENTRY),
    (groups.RestartBody, RESTART, "roster", many, limits.MAX_ROSTER_PER_RESTART),
]
IN_FRAMES: Final[list[Bound]] = [
    (groups.Handshake, HANDSHAKE, "group_info", bytes, limits.MAX_GROUP_INFO),
    (groups.Handshake, HANDSHAKE, "parts", parts, limits.MAX_PARTS),
    (groups.GroupState, STATE, "genesis", bytes, limits.MAX_GENESIS),
    (groups.GroupState, STATE, "group_info", bytes, limits.MAX_GROUP_INFO),
    (groups.GroupState, STATE, "tree", bytes, limits.MAX_TREE),
    (groups.GroupState, STATE, "roster_state", bytes, limits.MAX_ROSTER_STATE),
    (groups.GroupState, STATE, "roster_head", bytes, limits.MAX_ROSTER_ENTRY),
    (groups.KeyPackageUpload, UPLOAD, "data", bytes, limits.MAX_KEY_PACKAGE),
    (groups.PublishKeyPackages, {}, "packages", uploads, limits.MAX_KEY_PACKAGES_PER_UPLOAD),
    (groups.FetchKeyPackages, {"suite": 1}, "device_ids", devices, groups.MAX_BATCH),
    (Part, {"device_id": bytes(16)}, "data", bytes, limits.MAX_PART),
]


def name_of(bound: Bound) -> str:
    kind, _, field, make, limit = bound
    return f"{kind.__name__}.{field}-{make.__name__}-{limit}"


def check(bound: Bound, encode: Callable[[Any], bytes], read: Callable[[bytes, Any], Any]) -> None:
    kind, others, field, make, limit = bound
    largest, larger = (kind(**{**others, field: make(limit + more)}) for more in (0, 1))
    assert read(encode(largest), kind) == largest
    with pytest.raises(DecodeError) as refused:
        read(encode(larger), kind)
    assert refused.value.code is Code.DECODE_MALFORMED


@pytest.mark.parametrize("bound", IN_ENVELOPES, ids=name_of)
def test_what_stands_in_an_envelope(bound: Bound) -> None:
    check(bound, groups.encode_body, groups.decode_body)


@pytest.mark.parametrize("bound", IN_FRAMES, ids=name_of)
def test_what_stands_in_a_frame(bound: Bound) -> None:
    check(bound, encode_body, decode_body)
