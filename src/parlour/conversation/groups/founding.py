"""Founding a conversation on MLS: its creator alone, who then brings in the others.

Everything is made on this device: stream id, genesis, the first entry of the roster, the MLS group
of one. The server only takes it in, so asking twice is asking once.
"""

from __future__ import annotations

from collections.abc import Sequence

from parlour.conversation.groups.chat import Chat, mls_group_id
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import (
    Acceptance,
    GroupRecord,
    GroupState,
    Intent,
    Pending,
    Sent,
    Want,
)
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.policies import SUITE_1, XWING, XWING_256, Policy
from parlour.conversation.state import Memory
from parlour.conversation.sync import MAX_GROUP_NAME
from parlour.errors import Code, error
from parlour.mls.private.group import Group
from parlour.mls.public.capabilities import RequiredCapabilities
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.types import ExtensionType
from parlour.roster.changes import Added, Change, Named
from parlour.roster.extension import EXTENSION_TYPE
from parlour.roster.genesis import Genesis, Kind
from parlour.roster.naming import MAX_NAME_SIZE, NAME_SALT_SIZE, name_commitment
from parlour.roster.roles import FIXED_KINDS, Role
from parlour.roster.roster import Roster
from parlour.wire.frames import encode_body as encode_request
from parlour.wire.groups import CreateGroup
from parlour.wire.ids import ID_SIZE


class Founding:
    """Makes conversations."""

    def __init__(
        self, memory: Memory, key_packages: KeyPackages, targets: KeyPackageTargets
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._key_packages = key_packages
        self._targets = targets

    def choose_suite(self, accounts: Sequence[bytes], policy: Policy) -> int:
        """The policy's first suite that every device supports: X-Wing where all have KEMs.

        What a device has, its account's signed list says: a server that hides key packages can't
        talk anybody into the weaker suite.
        """
        devices = [
            device
            for account in accounts
            if (contact := self._memory.contacts.get(account)) is not None
            for device in contact.head.devices
        ]
        supported = {SUITE_1}
        if all(device.has_kem for device in devices):
            supported |= {XWING, XWING_256}
        return policy.choose_suite(supported, len(devices))

    def begin(
        self,
        kind: Kind,
        name: str,
        members: Sequence[bytes],
        suite: int,
        now: int,
        policy: Policy,
    ) -> Chat:
        """Make a conversation; it is told to the server, and the others come in, by and by."""
        own = self._memory.account_id
        stream = self._memory.random(ID_SIZE)
        key = self._memory.local.signature_key
        genesis = Genesis.create(
            key,
            kind=kind,
            suite=suite,
            stream=stream,
            roster_id=stream,
            creator_account=own,
            created_at=now,
            retention=policy.retention,
            retention_days=policy.retention_days,
            history=policy.history,
            mode=policy.mode,
        )
        salt = self._memory.random(NAME_SALT_SIZE)
        fixed = kind in FIXED_KINDS
        changes: list[Change] = []
        if fixed:
            changes += [Added(own, Role.MEMBER)]
            changes += [Added(account, Role.MEMBER) for account in members if account != own]
        else:
            account_key = self._memory.contacts[own].head.account_key
            changes.append(Added(own, Role.OWNER, account_key.to_bytes()))
        if name and not fixed:
            changes.append(Named(name_commitment(salt, name)))
        entry = Roster.founding_entry(genesis, changes, key)
        roster = Roster.found(genesis, entry, lambda *_: key.public_key)
        record = GroupRecord(
            group=stream,
            genesis=genesis.encode(),
            state=GroupState.FOUNDING,
            name=name,
            salt=salt,
            inviter=own,
            refreshed_at=now,
        )
        if fixed:
            record.peer = next((account for account in members if account != own), own)
        chat = Chat(record, self._groups.policy, self._groups.shared)
        group = self._mls_group(chat, roster, now)
        chat.group, chat.roster = group, roster
        chat.since = dict.fromkeys(roster.state.members, 0)
        request = CreateGroup(
            stream=stream,
            kind=chat.stream_kind,
            genesis=record.genesis,
            roster=entry.encode(),
            group_info=group.group_info(ratchet_tree=False),
            tree=group.tree(),
        )
        record.pending = Pending(Sent.FOUND, stream, encode_request(request), 0, 0)
        chat.note_epoch()
        self._groups.put_epoch(chat)
        self._groups.put_roster(chat)
        others = [account for account in members if account != own]
        if others and not fixed:
            self.want(chat, Want.ADD, now, accounts=others)
        return chat

    def _mls_group(self, chat: Chat, roster: Roster, now: int) -> Group:
        return Group.create(
            self._key_packages.identity(chat.genesis.suite, now // 1000),
            mls_group_id(chat.id, 0),
            now // 1000,
            policy=self._groups.policy,
            extensions=extensions_of(roster),
            random=self._memory.random,
        )

    def distrust_leaf_key(self) -> None:
        """Sign with another key from the next commit on (TRUST §4: "or on suspicion")."""
        self._key_packages.distrust_leaf_key()

    def want(self, chat: Chat, want: Want, now: int, **fields: object) -> Intent:
        """Keep a wish."""
        intent = Intent(
            intent_id=self._memory.random(ID_SIZE),
            group=chat.id,
            order=self._groups.next_order(),
            want=want,
            since=now,
            **fields,  # type: ignore[arg-type]
        )
        self._groups.put_intent(intent)
        return intent

    def founded(self, chat: Chat) -> None:
        """The server has it."""
        chat.record.state = GroupState.ACTIVE
        chat.record.joined_seq = 1
        chat.record.acceptance = Acceptance.ACCEPTED
        chat.record.pending = None
        self._groups.put(chat)


def extensions_of(roster: Roster) -> Extensions:
    """The extensions of a group's first epoch: nobody overlooks the roster."""
    required = RequiredCapabilities(
        extension_types=(EXTENSION_TYPE,),
        credential_types=(BasicCredential.credential_type,),
    )
    return Extensions.of(
        [
            Extension(ExtensionType.REQUIRED_CAPABILITIES, required.encode()),
            Extension(EXTENSION_TYPE, roster.binding.encode()),
        ]
    )


def check_name(name: str) -> None:
    """Refuse a name that no group can have."""
    if not name.strip() or len(name) > MAX_GROUP_NAME or not name.isprintable():
        raise error(Code.USAGE_INVALID, f"a group's name has 1 to {MAX_GROUP_NAME} characters")
    if len(name.encode()) > MAX_NAME_SIZE:
        raise error(Code.USAGE_INVALID, f"a group's name has at most {MAX_NAME_SIZE} bytes")
