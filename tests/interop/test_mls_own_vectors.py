"""Vectors in the upstream form, both ways: ts-mls follows ours, and ours its."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mls_peers import TS_MLS_SUITES, Peer, PeerFailed, Theirs
from tests.vectors.mls.groups import passive_client
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


@pytest.mark.parametrize("kind", VECTORS["kinds"])
def test_ts_mls_computes_what_a_kind_holds(peer: Peer, kind: str) -> None:
    for case in VECTORS["kinds"][kind]:
        answer = peer.ask("kind", kind=kind, scenario=case)
        if kind == "key-schedule":
            for epoch, seen in zip(case["epochs"], answer["epochs"], strict=True):
                assert seen.pop("exported") == epoch["exporter"]["secret"]
                assert len(seen) == 12
                assert seen == {name: epoch[name] for name in seen}
        elif kind == "tree-validation":
            assert answer["parents"] is True
            assert answer["tree_hashes"] == case["tree_hashes"]
            assert answer["resolutions"] == case["resolutions"]
        elif kind == "secret-tree":
            assert answer["leaves"] == case["leaves"]
        else:
            assert answer["psk_secret"] == case["psk_secret"]


class Recorder:
    """A group of ts-mls alone, written down as a client saw it that only ever listened."""

    def __init__(self, peer: Peer, suite: int, *, public: bool) -> None:
        peer.ask("suite", name=TS_MLS_SUITES[suite])
        peer.ask("psk", psk_id=b"psk", psk=b"a key")
        self.seats = [Theirs(peer, name, public) for name in ("ada", "bea", "cid")]
        self.passive = Theirs(peer, "passive")
        self.case: dict[str, Any] = {
            "cipher_suite": suite,
            "external_psks": [{"psk_id": b"psk".hex(), "psk": b"a key".hex()}],
            "key_package": self.passive.key_package().hex(),
            "ratchet_tree": None,
            "epochs": [],
            **{
                name: value
                for name, value in self.passive.ask("private_keys").items()
                if name.endswith("_priv")
            },
        }
        ada, *others = self.seats
        ada.create()
        packages = [seat.key_package() for seat in others]
        _, welcome = ada.add([*packages, bytes.fromhex(self.case["key_package"])])
        assert welcome is not None
        ada.merge()
        for seat in others:
            seat.join(welcome)
        self.case["welcome"] = welcome.hex()
        self.case["initial_epoch_authenticator"] = ada.agreed().hex()

    def propose(self, sender: Theirs, proposal: dict[str, Any]) -> str:
        message: str = sender.ask("propose", proposal=proposal)["message"]
        for seat in self.seats:
            if seat is not sender:
                seat.process(bytes.fromhex(message))
        return message

    def epoch(self, committer: Theirs, proposals: list[str], *own: dict[str, Any]) -> None:
        commit, _ = committer.made("commit", proposals=list(own))
        self.follow(committer, commit, proposals)

    def follow(self, committer: Theirs, commit: bytes, proposals: list[str]) -> None:
        committer.merge()
        for seat in self.seats:
            if seat is not committer:
                seat.process(commit)
        self.case["epochs"].append(
            {
                "proposals": proposals,
                "commit": commit.hex(),
                "epoch_authenticator": committer.agreed().hex(),
            }
        )


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
@pytest.mark.parametrize("suite", TS_MLS_SUITES)
def test_ours_follows_a_scenario_of_ts_mls(peer: Peer, suite: int, *, public: bool) -> None:
    recorder = Recorder(peer, suite, public=public)
    ada, bea, cid = recorder.seats
    psk = {"kind": "psk", "psk_id": b"psk"}
    recorder.epoch(bea, [])
    recorder.epoch(cid, [recorder.propose(ada, psk)], psk)
    dan = Theirs(peer, "dan", public)
    add = {"kind": "add", "key_package": dan.key_package()}
    recorder.epoch(ada, [recorder.propose(bea, add), recorder.propose(cid, psk)])
    recorder.seats.remove(cid)
    recorder.epoch(bea, [recorder.propose(ada, {"kind": "remove", "leaf": 2})])
    recorder.epoch(ada, [], {"kind": "remove", "leaf": 4})
    passive_client(recorder.case)
    broken = copy.deepcopy(recorder.case)
    broken["epochs"][-1]["epoch_authenticator"] = "00"
    with pytest.raises(AssertionError):
        passive_client(broken)
