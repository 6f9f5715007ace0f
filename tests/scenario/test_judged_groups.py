"""What honest clients send, judged as a real server judges it: nothing of it may be refused.

The stories are those of `test_groups`; there the server's model in memory checks nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from parlour.identity.device_list import DeviceListEntry
from parlour.roster import RosterEntry
from parlour.server.groups.authority import Authority
from parlour.server.groups.beginnings import Restart, judge_founding, judge_restart
from parlour.server.groups.commits import Commitment, judge_commit
from parlour.server.groups.decoded import DecodedCommit, Sender, decode_public
from parlour.server.groups.proposals import judge_proposal
from parlour.server.groups.tracked import TrackedGroup
from parlour.server.store.group_records import DeviceKey
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import (
    CommitBody,
    CreateGroup,
    Handled,
    Handshake,
    ProposalBody,
    RestartBody,
    RestartGroup,
    decode_body,
)
from parlour.wire.streams import StreamInfo
from tests.scenario import test_groups as stories

STORIES = [
    story
    for name, story in vars(stories).items()
    if name.startswith("test_") and not inspect.signature(story).parameters
]


class Judge:
    """Follows each group beside the model, and raises what the server would refuse."""

    def __init__(self) -> None:
        self.groups: dict[tuple[int, bytes], TrackedGroup] = {}
        self.judged = 0

    def authority(self, server: MemoryServer) -> Authority:
        keys = {}
        for account_id, account in server.accounts.items():
            entries = [DeviceListEntry.decode(data) for data in account.entries]
            listed = {device.device_id for device in entries[-1].devices}
            for device in (each for entry in entries for each in entry.devices):
                keys[device.device_id] = DeviceKey(
                    account_id,
                    device.device_id,
                    device.signature_key.to_bytes(),
                    device.device_id in listed,
                    account.entries[-1],
                )
        return Authority(keys.values(), server.now // 1000)

    def founding(self, server: MemoryServer, device_id: bytes, body: CreateGroup) -> None:
        if (id(server), body.stream) not in self.groups:
            sender = Sender(server.account_of(device_id), device_id)
            authority = self.authority(server)
            _, tracked = judge_founding(body, sender, authority, server.now // 1000)
            self.groups[id(server), body.stream] = tracked
            self.judged += 1

    def handshake(self, server: MemoryServer, device_id: bytes, body: Handshake) -> None:
        again = (device_id, body.client_id) in server.streams[body.stream].by_client_id
        if again or not server.groups.is_current(body):
            return
        group = self.groups[id(server), body.stream]
        sender = Sender(server.account_of(device_id), device_id)
        authority = self.authority(server)
        if body.envelope.suite == SuiteId.MLS_COMMIT:
            commit = decode_body(body.envelope.body, CommitBody)
            decoded = DecodedCommit.decode(commit)
            commitment = Commitment(body, commit, decoded, sender, server.now)
            after = judge_commit(group, commitment, authority).after
        else:
            proposal = decode_body(body.envelope.body, ProposalBody)
            message, seconds = decode_public(proposal.proposal), server.now // 1000
            after = judge_proposal(group, message, proposal.evidence, sender, authority, seconds)
        self.groups[id(server), body.stream] = after
        self.judged += 1

    def restart(self, server: MemoryServer, device_id: bytes, body: RestartGroup) -> None:
        again = (device_id, body.client_id) in server.streams[body.stream].by_client_id
        if again or body.generation <= server.groups.groups[body.stream].generation:
            return
        restart = decode_body(body.envelope.body, RestartBody)
        entries = tuple(map(RosterEntry.decode, restart.roster))
        sender = Sender(server.account_of(device_id), device_id)
        group = self.groups[id(server), body.stream]
        judged = judge_restart(
            group, Restart(body, entries, sender, server.now), self.authority(server)
        )
        self.groups[id(server), body.stream] = judged.after
        self.judged += 1


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Every memory server of the test asks this judge first."""
    judge = Judge()
    create, handshake, restart = (
        MemoryServer._create_group,
        MemoryServer._handshake,
        MemoryServer._restart,
    )

    def judged_create(self: MemoryServer, device_id: bytes, body: CreateGroup) -> StreamInfo:
        judge.founding(self, device_id, body)
        return create(self, device_id, body)

    def judged_handshake(self: MemoryServer, device_id: bytes, body: Handshake) -> Handled:
        judge.handshake(self, device_id, body)
        return handshake(self, device_id, body)

    def judged_restart(self: MemoryServer, device_id: bytes, body: RestartGroup) -> Handled:
        judge.restart(self, device_id, body)
        return restart(self, device_id, body)

    monkeypatch.setattr(MemoryServer, "_create_group", judged_create)
    monkeypatch.setattr(MemoryServer, "_handshake", judged_handshake)
    monkeypatch.setattr(MemoryServer, "_restart", judged_restart)
    return judge


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_server_refuses_nothing_honest(story: Callable[[], None], judge: Judge) -> None:
    refused: list[Exception] = []

    def noting(judging: Callable[..., None]) -> Callable[..., None]:
        def note(*arguments: object) -> None:
            try:
                judging(*arguments)
            except Exception as error:
                refused.append(error)
                raise

        return note

    judge.founding = noting(judge.founding)  # type: ignore[method-assign]
    judge.handshake = noting(judge.handshake)  # type: ignore[method-assign]
    judge.restart = noting(judge.restart)  # type: ignore[method-assign]
    story()
    assert refused == []
    assert judge.judged
