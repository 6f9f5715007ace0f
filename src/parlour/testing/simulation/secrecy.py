"""Whether a device got, or could read, what was said in a group when it had no part in it.

A device reads what was said in the epochs in which it had a leaf. What was said while it had none,
it is given by who said it, if its account was a member then and it had not left its list by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parlour.client.store.records import all_records
from parlour.conversation.groups.chat import Chat
from parlour.conversation.machine import Machine
from parlour.errors import ParlourError
from parlour.testing.randomness import seeded
from parlour.testing.simulation.chronicle import Spoken

if TYPE_CHECKING:
    from parlour.testing.simulation.node import Node
    from parlour.testing.simulation.world import World


def trespasses(world: World) -> list[str]:
    """What devices have read, or could read, that was said without them."""
    found = []
    for node in world.nodes.values():
        found += _shown(world, node)
        found += _readable(world, node)
    return found


def _shown(world: World, node: Node) -> list[str]:
    delivered = world.oracle.heard[node.label].delivered
    read = {(device_id, message_id) for _, device_id, message_id in delivered}
    entries: dict[tuple[bytes, bytes], list[Spoken]] = {}
    for spoken in world.chronicle.spoken:
        entries.setdefault((spoken.sender, spoken.client_id), []).append(spoken)
    return [
        f"{node.label} was shown {_words(world, entries[key][0])}, which was said without it"
        for key in sorted(read & entries.keys())
        if not any(_may_have(world, node, spoken) for spoken in entries[key])
    ]


def _may_have(world: World, node: Node, spoken: Spoken) -> bool:
    if node.device_id in world.chronicle.readers[spoken.epoch]:
        return True
    return node.account_id in spoken.accounts and node.device_id not in spoken.removed


def _readable(world: World, node: Node) -> list[str]:
    """What the keys on its disk open of what was said in epochs in which it had no leaf."""
    without = [
        spoken
        for spoken in world.chronicle.spoken
        if node.device_id not in world.chronicle.readers[spoken.epoch]
    ]
    if not without:
        return []
    machine = Machine(all_records(node.disk.connection), world.loop.now(), random=seeded("thief"))
    chats = machine._memory.groups.chats
    now = world.loop.now() // 1000
    return [
        f"{node.label} can read {_words(world, spoken)}, which was said without it"
        for spoken in without
        if spoken.epoch[0] in chats and _opens(chats[spoken.epoch[0]], spoken.body, now)
    ]


def _opens(chat: Chat, body: bytes, now: int) -> bool:
    if chat.group is None:
        return False
    try:
        chat.group.decrypt(body, now)
    except ParlourError:
        return False
    return True


def _words(world: World, spoken: Spoken) -> str:
    said = world.oracle.messages.get(spoken.client_id)
    group, generation, epoch = spoken.epoch
    words = "something" if said is None else repr(said.text)
    return f"{words} of {world.chronicle.name_of(group)} ({generation}.{epoch})"
