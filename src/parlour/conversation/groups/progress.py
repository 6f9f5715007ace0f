"""How far what is wanted of a group has come, for who waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from parlour.conversation.directory import Directory
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.committing import Committing
from parlour.conversation.groups.records import GroupState, Want
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.state import Memory


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """What is done, and what is left.

    `lists` are device lists that are still to be read, `packages` key packages that are still to
    be fetched; `devices` those of everybody who is in the group or about to come, `leaves` those
    of them that have a leaf, and `left_out` those that can't have one for now. `sending` while a
    commit is on its way. `told` when members were asked to let this account go, `named`
    when the group's name is known.
    """

    state: GroupState
    wishes: tuple[Want, ...]
    lists: int
    packages: int
    devices: int
    leaves: int
    left_out: int
    sending: bool
    told: bool
    named: bool

    @property
    def missing(self) -> int:
        """Devices that are still to come in."""
        return self.devices - self.leaves - self.left_out


def progress_of(
    chat: Chat,
    memory: Memory,
    directory: Directory,
    targets: KeyPackageTargets,
    committing: Committing,
    now: int,
) -> GroupProgress:
    """Count. `now` is in milliseconds."""
    intents = memory.groups.intents_of(chat.id)
    coming = {a for intent in intents if intent.want is Want.ADD for a in intent.accounts}
    lists = leaves = left_out = devices = 0
    for account in coming.union(chat.accounts):
        lists += not directory.is_read(account)
        contact = memory.contacts.get(account)
        if contact is None or contact.stopped:
            continue
        for identity in contact.identities():
            devices += 1
            if chat.leaf_of(identity.device_id) is not None:
                leaves += 1
            elif committing.is_left_out(chat.genesis.suite, identity.device_id, now):
                left_out += 1
    sending = chat.record.pending is not None
    return GroupProgress(
        state=chat.record.state,
        wishes=tuple(intent.want for intent in intents),
        lists=lists,
        packages=targets.left(chat.genesis.suite),
        devices=devices,
        leaves=leaves,
        left_out=left_out,
        sending=sending,
        told="leave" in chat.timers and not sending,
        named=chat.is_named,
    )
