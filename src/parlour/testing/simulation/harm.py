"""Whether a lie that nobody named has done harm: what it touched has to have come anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from parlour.testing.simulation.meddling import Hit
from parlour.testing.simulation.oracle import Key

if TYPE_CHECKING:
    from parlour.testing.simulation.node import Node
    from parlour.testing.simulation.world import World

_LAST: Final = "SELECT last_seq FROM streams WHERE stream_id = ?"
_LIST: Final = (
    "SELECT max(number) FROM device_lists JOIN accounts ON accounts.pk = account "
    "WHERE account_id = ?"
)
_SEQ: Final = "SELECT seq FROM message WHERE message_id = ? AND sender_device = ?"


def did_harm(world: World, node: Node, hit: Hit, excused: set[tuple[str, bytes]]) -> str | None:
    """What a lie has left behind on a device, in words; None where nothing is wrong there.

    `excused` are devices, by label, with messages that may be missing there for another reason.
    """
    if not (node.on_list and node.ready):
        return None
    if hit.meddling in ("shorten", "withhold"):
        return _older_list(world, node, hit.stream)
    if hit.meddling == "misnumber":
        return _wrong_number(world, node, hit)
    if hit.meddling in ("wrong_tree", "old_state"):
        # Whether all members agree is compared for each group by itself.
        return None
    if (node.label, hit.client_id) in excused:
        return None
    return _not_read(world, node, hit)


def _not_read(world: World, node: Node, hit: Hit) -> str | None:
    """An entry was changed on its way: in the end it was read as it is."""
    said = world.oracle.messages.get(hit.client_id)
    if said is None:
        return _not_counted(node, hit)
    if node.device_id == said.device_id:
        return None
    entries = world.oracle.numbered.get(hit.client_id, [])
    lasting = [each for each in entries if each.timeline not in world.oracle.discarded]
    if not lasting or node.device_id not in lasting[-1].owed:
        return None
    own = node.account_id == said.account_id
    conversation = said.peer if own or said.is_group else said.account_id
    key: Key = (conversation, said.device_id, said.message_id)
    if key in world.oracle.heard[node.label].delivered:
        return None
    return f"{said.text!r} did not come"


def _not_counted(node: Node, hit: Hit) -> str | None:
    """What shows nothing is counted: of its sender nothing is missing but what was unreadable."""
    conversation = node.engine.machine._memory.conversation_of_stream(hit.stream)
    if conversation is None or hit.sender == node.device_id:
        return None
    count = conversation.senders.get(hit.sender)
    if count is not None and count.unexplained:
        return f"{count.unexplained} of a sender are missing"
    return None


def _wrong_number(world: World, node: Node, hit: Hit) -> str | None:
    """A sender was told a number that is not its message's: in the end it knows the right one."""
    rows = node.disk.connection.execute(_SEQ, (hit.client_id, node.device_id)).fetchall()
    entries = world.oracle.numbered.get(hit.client_id, [])
    # What is on no disk any more comes back under no number.
    numbers = {each.seq for each in entries if each.timeline not in world.oracle.discarded}
    if rows and numbers and rows[0][0] not in numbers:
        return f"a message of its own has the number {rows[0][0]}"
    conversation = node.engine.machine._memory.conversation_of_stream(hit.stream)
    last = world.server.connection.execute(_LAST, (hit.stream,)).fetchone()
    if conversation is not None and last is not None and conversation.received > last[0]:
        return f"it has read up to {conversation.received} of {last[0]}"
    return None


def _older_list(world: World, node: Node, account_id: bytes) -> str | None:
    """A device list was cut: in the end the device knows all of it."""
    contact = node.engine.machine.contacts.get(account_id)
    (number,) = world.server.connection.execute(_LIST, (account_id,)).fetchone()
    if contact is not None and number is not None and contact.head.number < number:
        return f"it knows the list of {contact.name} up to {contact.head.number} of {number}"
    return None
