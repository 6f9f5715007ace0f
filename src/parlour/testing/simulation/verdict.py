"""The end of a run: what was owed and what came, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from parlour.errors import Code
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.oracle import Excuse, Heard, Key, Numbered, Oracle, Said

_STATES: Final = "SELECT conversation, sender_device, message_id, state, reason FROM message"


@dataclass(slots=True)
class Verdict:
    """Counts of messages and of (message, device) pairs.

    `sent`: messages that have a number. `delivered`, `repaired`, `lost`, `unreadable`: pairs of a
    message and a device that it is owed to; `repaired` are delivered ones that were shown as
    unreadable before.
    """

    sent: int = 0
    delivered: int = 0
    repaired: int = 0
    lost: int = 0
    unreadable: int = 0
    unreadable_without_reason: int = 0
    excused: Counter[str] = field(default_factory=Counter)


class Judge:
    """Goes through everything that was said."""

    def __init__(
        self,
        oracle: Oracle,
        nodes: list[Node],
        leavers: set[tuple[bytes, bytes]],
        orphans: set[bytes],
        *,
        lying: bool,
    ) -> None:
        self._oracle = oracle
        self._nodes = {node.device_id: node for node in nodes if node.on_list}
        self._lying = lying
        self._leavers = leavers
        self._orphans = orphans
        self._states = {node.device_id: _states(node) for node in nodes}
        self._invented = Counter(
            (device_id, *key[:2])
            for device_id, states in self._states.items()
            for key, (state, _) in states.items()
            if state == "unreadable" and key[2] not in oracle.numbered
        )
        """How many messages that nobody sent stand as unreadable, by device, conversation and
        sending device."""
        self.verdict = Verdict()
        self.excused: set[tuple[str, bytes]] = set()
        """Devices, by label, with messages that may be missing there."""

    def judge(self) -> Verdict:
        """Count, and note what is wrong."""
        for said in self._oracle.messages.values():
            self._judge_message(said)
        for node in self._nodes.values():
            self._judge_shown(node)
        return self.verdict

    def _judge_message(self, said: Said) -> None:
        entries = self._oracle.numbered.get(said.message_id, [])
        if not entries:
            self._judge_unsent(said)
            return
        self.verdict.sent += 1
        lasting = [each for each in entries if each.timeline not in self._oracle.discarded]
        if len(lasting) > 1:
            self._oracle.problem(f"{said.text!r} of {said.label} is in its stream twice")
        for device_id in sorted((lasting or entries)[-1].owed - {said.device_id}):
            if device_id in self._nodes:
                self._judge_pair(said, self._nodes[device_id], lasting)

    def _judge_unsent(self, said: Said) -> None:
        """What never got a number: fine where its device is gone, or was told why."""
        if said.device_id not in self._nodes:
            return
        if said.peer in self._orphans:
            self.verdict.excused[Excuse.ORPHANED.value] += 1
        elif said.is_group and said.peer in self._oracle.heard[said.label].left:
            key = (said.peer, said.device_id, said.message_id)
            if self._states[said.device_id].get(key) != ("unsent", Code.GROUP_OVER.value):
                self._oracle.problem(f"{said.label} does not know what became of {said.text!r}")
            self.verdict.excused[Excuse.OVER.value] += 1
        elif self._lying and self._oracle.heard[said.label].names["sending.blocked"]:
            self.verdict.excused[Excuse.BLOCKED.value] += 1
        else:
            self._oracle.problem(f"{said.text!r} of {said.label} never got a number")

    def _judge_pair(self, said: Said, node: Node, lasting: list[Numbered]) -> None:
        heard = self._oracle.heard[node.label]
        own = self._nodes[node.device_id].engine.machine.account_id == said.account_id
        conversation = said.peer if own or said.is_group else said.account_id
        key = (conversation, said.device_id, said.message_id)
        state, reason = self._states[node.device_id].get(key, ("", ""))
        if key in heard.delivered:
            self.verdict.delivered += 1
            self.verdict.repaired += key in heard.unreadable
            if state != "received":
                self._oracle.problem(f"{node.label} was shown {said.text!r} and keeps it {state!r}")
            return
        excuse = self._excuse(said, node, key, lasting)
        if state == "unreadable":
            self.verdict.unreadable += 1
            self.verdict.unreadable_without_reason += not reason
            if excuse is None:
                self._oracle.problem(f"{node.label} can't read {said.text!r}: {reason}")
        elif excuse is None:
            self.verdict.lost += 1
            self._oracle.problem(f"{node.label} lost {said.text!r} of {said.label} {state}")
        if excuse is not None:
            self.verdict.excused[excuse.value] += 1
            self.excused.add((node.label, said.message_id))

    def _excuse(self, said: Said, node: Node, key: Key, lasting: list[Numbered]) -> Excuse | None:
        heard = self._oracle.heard[node.label]
        if not lasting and (heard.names["server.restored"] or not self._lying):
            return Excuse.RESTORED if heard.names["server.restored"] else None
        if said.device_id not in self._nodes:
            return Excuse.REMOVED
        if said.is_group and (node.account_id, said.peer) in self._leavers:
            return Excuse.LEAVING
        was_outside = lasting and heard.was_outside(said.peer, lasting[-1].stored_at)
        if was_outside and heard.names["server.restored"]:
            return Excuse.OUTSIDE
        if not self._lying:
            return None
        thrown_away = not lasting and self._oracle.heard[said.label].names["server.misbehaved"]
        named = thrown_away or self._is_named(said, heard) or self._stands_for(node, key)
        return Excuse.LIE if named else None

    def _is_named(self, said: Said, heard: Heard) -> bool:
        named = said.device_id in heard.missing_from or said.account_id in heard.doubted
        return named or said.peer in heard.doubted or bool(heard.names["server.misbehaved"])

    def _stands_for(self, node: Node, key: Key) -> bool:
        """Whether an invention of the server has the place of a message: one for each of them."""
        place = (node.device_id, *key[:2])
        if not self._invented[place]:
            return False
        self._invented[place] -= 1
        return True

    def _judge_shown(self, node: Node) -> None:
        """What stands as unreadable at the end has a reason, and does not wait for ever."""
        for state, reason in self._states[node.device_id].values():
            if state == "unreadable" and not reason:
                self._oracle.problem(f"{node.label} shows an unreadable message without a reason")


def _states(node: Node) -> dict[tuple[bytes, bytes, bytes], tuple[str, str]]:
    rows = node.disk.connection.execute(_STATES).fetchall()
    return {
        (bytes(conversation), bytes(device), bytes(message_id)): (state, reason)
        for conversation, device, message_id, state, reason in rows
    }
