"""Groups of ts-mls and ours: both create, join, add, update, remove, send and receive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from parlour.mls import (
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    Rule,
    RuleBroken,
    StagedCommit,
    WelcomeJoin,
    find_suite,
)
from parlour.mls.private.external import propose_to_join
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.private.key_schedule import external_key_pair
from parlour.mls.private.linking import branch_group, reinit_group
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.proposals import GroupContextExtensions, PreSharedKey, ReInit
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.types import ExtensionType, LeafIndex, WireFormat
from tests.compressed_points import CURVES, compressed_points_are_read
from tests.mls_peers import (
    GROUP,
    NOW,
    POLICY,
    TS_MLS_SUITES,
    Ours,
    Peer,
    PeerFailed,
    Seat,
    Table,
    Theirs,
    read_key_package,
)

SUITES = pytest.mark.parametrize("suite", TS_MLS_SUITES)
CREATORS = pytest.mark.parametrize("creator", ["ours", "theirs"])
PSK = b"a key that both know"


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("mls_tsmls.mjs", "ts-mls") as peer:
        yield peer


def clients(
    peer: Peer, suite: int = 1, *, public: bool = True
) -> tuple[Ours, Theirs, Ours, Theirs]:
    """Two of ours and two of theirs, in turn."""
    peer.ask("suite", name=TS_MLS_SUITES[suite])
    wire = WireFormat.PUBLIC_MESSAGE if public else WireFormat.PRIVATE_MESSAGE
    ada, cid = (Ours(name, find_suite(suite), wire) for name in ("ada", "cid"))
    bea, dan = (Theirs(peer, name, public) for name in ("bea", "dan"))
    return ada, bea, cid, dan


@SUITES
@CREATORS
def test_a_whole_group(peer: Peer, suite: int, creator: str) -> None:
    with compressed_points_are_read(suite):
        play(peer, suite, creator)


@pytest.mark.parametrize("suite", CURVES)
def test_compressed_points_are_refused(peer: Peer, suite: int) -> None:
    ada, bea, _, _ = clients(peer, suite)
    ada.create()
    with pytest.raises(RuleBroken) as caught:
        ada.add([bea.key_package()])
    assert caught.value.rule is Rule.LEAF_KEY_VALID


def play(peer: Peer, suite: int, creator: str) -> None:
    ada, bea, cid, dan = clients(peer, suite, public=creator == "theirs")
    if creator == "ours":
        table = Table.begin(ada)
        table.add(ada, bea)
        table.add(bea, cid, dan)
        leaves = {"ada": 0, "bea": 1, "cid": 2, "dan": 3}
    else:
        table = Table.begin(bea)
        table.add(bea, ada)
        table.add(ada, cid, dan)
        leaves = {"bea": 0, "ada": 1, "cid": 2, "dan": 3}
    for seat in (ada, bea, cid, dan):
        table.update(seat)
    # Ours proposes an Update, theirs commits it; ts-mls offers no way to propose its own.
    update = cid.group.propose_update(NOW, wire_format=cid.wire_format)
    table.commit(bea, (cid, update))
    table.remove(ada, leaves["dan"], dan)
    table.remove(bea, leaves["cid"], cid, proposer=ada)
    table.add(bea, cid)
    table.remove(ada, leaves["cid"], cid, proposer=bea)
    table.update(bea)


def test_what_a_removed_member_reads(peer: Peer) -> None:
    ada, bea, cid, dan = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea, cid, dan)
    table.remove(bea, 2, cid)
    assert not cid.group.is_active
    table.remove(ada, 3, dan)
    with pytest.raises(PeerFailed, match="process"):
        dan.process(ada.encrypt(b"after"))


@CREATORS
def test_pre_shared_keys(peer: Peer, creator: str) -> None:
    ada, bea, cid, dan = clients(peer, public=creator == "theirs")
    table = Table.begin(ada if creator == "ours" else bea)
    for ours in (ada, cid):
        ours.person.psks.add_external(b"psk", ExternalPsk(PSK))
    peer.ask("psk", psk_id=b"psk", psk=PSK)
    table.add(
        table.seats[0], *(seat for seat in (ada, bea, cid, dan) if seat is not table.seats[0])
    )
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"psk"), b""))
    table.commit(bea, (ada, ada.group.propose(psk, NOW, wire_format=ada.wire_format)))
    message = bea.ask("propose", proposal={"kind": "psk", "psk_id": b"psk"})["message"]
    table.commit(cid, (bea, bytes.fromhex(message)))
    commit, _ = bea.made("commit", proposals=[{"kind": "psk", "psk_id": b"psk"}])
    table.won(bea, commit)
    table.check()
    commit, _ = ada.made(proposals=[psk])
    table.won(ada, commit)
    table.check()


def test_extensions_of_the_group(peer: Peer) -> None:
    ada, bea, cid, dan = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea, cid, dan)
    required = bytes.fromhex("0000020001")
    change = GroupContextExtensions(Extensions.of([Extension(3, required)]))
    table.commit(cid, (ada, ada.group.propose(change, NOW)))
    # ts-mls commits such a proposal without the path that §12.4 requires; and where it makes one,
    # it encrypts it under the old extensions, not those of the provisional context (§12.4.1).
    extensions = [["application_id", b"an id".hex()]]
    proposal = {"kind": "extensions", "extensions": extensions}
    bare, _ = bea.made("commit", proposals=[proposal])
    with pytest.raises(RuleBroken) as caught:
        ada.process(bare)
    assert caught.value.rule is Rule.COMMIT_PATH_REQUIRED
    update = cid.group.propose_update(NOW)
    for seat in (ada, bea, dan):
        seat.process(update)
    commit, _ = dan.made("commit", proposals=[proposal])
    with pytest.raises(RuleBroken) as caught:
        ada.process(commit)
    assert caught.value.rule is Rule.PATH_DERIVED_KEYS
    # A refused commit has changed nothing, and what theirs proposes ours commits.
    commit, _ = bea.update()
    table.won(bea, commit)
    proposed = bea.ask("propose", proposal=proposal)["message"]
    table.commit(ada, (bea, bytes.fromhex(proposed)))
    assert cid.group.extensions.find(1) == b"an id"


def test_joining_by_a_commit(peer: Peer) -> None:
    ada, bea, cid, dan = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea)
    # Ours joins a group by what theirs says of it, and the other way round.
    info = bytes.fromhex(bea.ask("group_info")["group_info"])
    join = ExternalJoin(POLICY)
    own = Group.join_external(info, cid.person.identity, NOW, join)
    commit, cid.person.group = own.commit, own.confirm(own.commit)
    for seat in table.seats:
        seat.process(commit)
    table.seats.append(cid)
    table.check()
    dan.key_package()
    # ts-mls reads external_pub without its length.
    epoch = ada.group.current
    key = external_key_pair(epoch.suite, epoch.secrets.external_secret).public_key.to_bytes()
    bare = Extensions.of([Extension(ExtensionType.EXTERNAL_PUB, key)])
    info = ada.group.group_info(external_pub=False, extensions=bare)
    answer = dan.ask("join_external", group_info=info, resync=False)
    for seat in table.seats:
        seat.process(bytes.fromhex(answer["commit"]))
    table.seats.append(dan)
    table.check()
    # Ours comes back in its own place.
    info = bytes.fromhex(dan.ask("group_info")["group_info"])
    join = ExternalJoin(POLICY, resync=LeafIndex(2))
    own = Group.join_external(info, cid.person.identity, NOW, join)
    commit, cid.person.group = own.commit, own.confirm(own.commit)
    for seat in (ada, bea, dan):
        seat.process(commit)
    table.check()
    table.update(dan)


def test_asking_to_join(peer: Peer) -> None:
    ada, bea, cid, dan = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea)
    for joiner in (dan, cid):
        joiner.key_package()
        if isinstance(joiner, Theirs):
            asked = joiner.ask("propose_join", group_info=ada.group.group_info())["message"]
            proposal = bytes.fromhex(asked)
        else:
            proposal = propose_to_join(ada.group.current.context, joiner.bundle, NOW)
        for seat in table.seats:
            seat.process(proposal)
        committer: Seat = bea if joiner is cid else ada
        commit, welcome = committer.commit()
        table.welcome(committer, commit, welcome, joiner)


@pytest.mark.parametrize("ends", ["ours", "theirs"])
@pytest.mark.parametrize("begins", ["ours", "theirs"])
def test_a_group_in_place_of_another(peer: Peer, ends: str, begins: str) -> None:
    ada, bea, cid, _ = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea, cid)
    if ends == "ours":
        end = ReInit(b"next", 1, 1, Extensions())
        pending = ada.group.commit(NOW, proposals=[end], random=ada.person.random)
        committer: Seat = ada
        commit = pending.commit
        ada.merge()
    else:
        committer = bea
        commit, _ = bea.made("reinit", group=b"next", name=TS_MLS_SUITES[1])
        bea.merge()
    for seat in table.seats:
        if seat is not committer:
            seat.process(commit)
    assert len({seat.agreed() for seat in table.seats}) == 1
    next_bea = Theirs(peer, "bea")
    old = Theirs(peer, "old bea")
    peer.ask("rename", client="bea", to="old bea")
    bundles = {ours.name: KeyPackageBundle.create(ours.person.identity, NOW) for ours in (ada, cid)}
    theirs = next_bea.key_package()
    if begins == "ours":
        packages = [read_key_package(theirs), bundles["cid"].key_package]
        ada.person.group, welcome = reinit_group(ada.group, ada.person.identity, packages, NOW)
        old.ask("join_reinit", successor="bea", welcome=welcome)
        joiners = [cid]
    else:
        packages_raw = [bundles["ada"].message, bundles["cid"].message]
        answer = old.ask(
            "reinit_new",
            successor="bea",
            group=b"next",
            name=TS_MLS_SUITES[1],
            key_packages=packages_raw,
        )
        welcome, tree = bytes.fromhex(answer["welcome"]), bytes.fromhex(answer["tree"])
        joiners = [ada, cid]
    for ours in joiners:
        groups = {GROUP: ours.group.as_origin()}
        given = tree if begins == "theirs" else None
        join = WelcomeJoin(POLICY, ours.person.psks, given, groups)
        ours.person.group, _ = Group.join(welcome, [bundles[ours.name]], NOW, join)
    table = Table([ada, next_bea, cid])
    table.check()
    table.update(next_bea)
    table.update(cid)


@CREATORS
def test_a_branch(peer: Peer, creator: str) -> None:
    ada, bea, cid, _ = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea, cid)
    successor = Theirs(peer, "bea")
    old = Theirs(peer, "old bea")
    peer.ask("rename", client="bea", to="old bea")
    package = successor.key_package()
    bundle = KeyPackageBundle.create(ada.person.identity, NOW)
    if creator == "ours":
        ada.person.group, welcome = branch_group(ada.group, b"b", [read_key_package(package)], NOW)
        old.ask("join_branch", successor="bea", welcome=welcome)
    else:
        answer = old.ask("branch", successor="bea", group=b"b", key_packages=[bundle.message])
        welcome, tree = bytes.fromhex(answer["welcome"]), bytes.fromhex(answer["tree"])
        join = WelcomeJoin(POLICY, ada.person.psks, tree, {GROUP: ada.group.as_origin()})
        ada.person.group, _ = Group.join(welcome, [bundle], NOW, join)
    table = Table([ada, successor])
    table.check()
    table.update(successor)
    table.update(ada)


def test_the_tree_may_travel_apart(peer: Peer) -> None:
    ada, bea, _, _ = clients(peer)
    ada.create()
    package = read_key_package(bea.key_package())
    pending = ada.group.commit(NOW, adds=[package], options=CommitOptions(ratchet_tree=False))
    ada.merge()
    bea.ask("join", welcome=pending.welcome, tree=encode_tree(ada.group.current.tree))
    table = Table([ada, bea])
    table.check()


def test_exported_secrets(peer: Peer) -> None:
    ada, bea, _, _ = clients(peer)
    table = Table.begin(bea)
    table.add(bea, ada)
    for length in (16, 32, 77):
        answer = bea.ask("exported", label="voice", context=b"channel", length=length)
        exported = ada.group.export(b"voice", b"channel", length)
        assert exported.hex() == answer["secret"]


def test_padding_of_either_side(peer: Peer) -> None:
    ada, bea, _, _ = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea)
    message = ada.group.encrypt(b"text", b"associated", pad_to=512)
    assert bea.process(message) == b"text"
    assert isinstance(ada.group.process(bea.update()[0], NOW), StagedCommit)
