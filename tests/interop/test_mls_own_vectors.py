"""Our own vectors, `vectors/parlour-1/mls.json`, followed by ts-mls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mls_peers import Peer, PeerFailed
from tools import make_vectors

VECTORS = json.loads((make_vectors.FOLDER / "mls.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = [*VECTORS["passive_client"], *VECTORS["passive_client_welcome"]]
STORIES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["interop_passive"]}

# What ts-mls 1.6.4 cannot follow, and why.
CANNOT: dict[str, str] = {
    "external proposals": "it reads external_senders as one sender, not as a list",
    "left out": "it wants the types of RFC 9420 itself listed in capabilities",
    "other clients": "it reads no credential but basic and X.509",
    "reinit": "it wants the state of the old group, of which the form knows nothing",
    "branch": "it wants the state of the old group, of which the form knows nothing",
}


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("mls_tsmls.mjs", "ts-mls") as peer:
        yield peer


def check(peer: Peer, case: dict[str, Any]) -> None:
    seen = peer.ask("follow", scenario=case)["authenticators"]
    expected = [epoch["epoch_authenticator"] for epoch in case["epochs"]]
    assert seen == [case["initial_epoch_authenticator"], *expected]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ts_mls_follows_a_passive_client(peer: Peer, number: int) -> None:
    check(peer, CASES[number])


@pytest.mark.parametrize("name", STORIES)
def test_ts_mls_follows_a_story(peer: Peer, name: str) -> None:
    if name in CANNOT:
        with pytest.raises(PeerFailed):
            check(peer, STORIES[name])
        pytest.xfail(f"ts-mls: {CANNOT[name]}")
    check(peer, STORIES[name])
