"""A group's roster from its founding on, with all inputs, for `tools.make_vectors`."""

from __future__ import annotations

from typing import Any, Final

from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster import (
    Added,
    Change,
    ChannelKind,
    ChannelOpened,
    Genesis,
    Kind,
    LeafCertificate,
    Named,
    Removed,
    Role,
    RoleSet,
    Roster,
    encode_change,
    leave_statement,
)
from parlour.roster.device_signature import device_id_of
from parlour.roster.links import JoinLink
from parlour.roster.naming import NAME_SALT_SIZE, name_commitment
from tools.vectors.double_ratchet import NOW, Draws

DESCRIPTION: Final = (
    "Rosters of Parlour, version 1: a genesis, the log that follows it, a link, a certificate of a "
    "leaf. All byte strings are hex. Each entry stands with its hash and the state that it leads "
    "to; its changes stand once more, one by one. Times of the log count milliseconds, those of "
    "the certificate seconds."
)
_NOW_MS: Final = NOW * 1_000
_SERVER: Final = "chat.example:8443"


class _Person:
    """An account with one device."""

    def __init__(self, draws: Draws) -> None:
        self.account = draws(16)
        self.key = Ed25519PrivateKey.generate(draws)
        self.device = device_id_of(self.key.public_key)
        self.account_key = Ed25519PrivateKey.generate(draws).public_key.to_bytes()


class _Story:
    """A room through every kind of change."""

    def __init__(self) -> None:
        draws = Draws("roster")
        self.people = [_Person(draws) for _ in range(4)]
        self.salt = draws(NAME_SALT_SIZE)
        self.link = JoinLink.create(_SERVER, draws(32), draws(16), draws(32), draws)
        self.channel = draws(16)
        self.genesis = Genesis.create(
            self.people[0].key,
            kind=Kind.CHANNEL,
            suite=0xF001,
            stream=self.link.stream,
            roster_id=draws(16),
            creator_account=self.people[0].account,
            created_at=_NOW_MS,
        )
        self.rosters = [self._found()]
        self._go_on()

    def find_key(self, account: bytes, device: bytes) -> Ed25519PublicKey | None:
        """The keys of all of them."""
        for each in self.people:
            if (each.account, each.device) == (account, device):
                return each.key.public_key
        return None

    def _found(self) -> Roster:
        anna, bea, *_ = self.people
        changes: list[Change] = [
            Added(anna.account, Role.OWNER, anna.account_key),
            Added(bea.account, Role.ADMIN, bea.account_key),
            Named(name_commitment(self.salt, "Garten")),
        ]
        entry = Roster.founding_entry(self.genesis, changes, anna.key)
        return Roster.found(self.genesis, entry, self.find_key)

    def _step(self, person: _Person, *changes: Change) -> None:
        roster = self.rosters[-1]
        at = _NOW_MS + len(self.rosters)
        who = (person.account, person.device, person.key)
        entry = roster.next_entry(changes, *who, at, self.find_key)
        self.rosters.append(roster.extend(entry, self.find_key, at))

    def _go_on(self) -> None:
        anna, bea, carl, dora = self.people
        roster_id = self.genesis.roster_id
        opened = self.link.opened(role=Role.MEMBER, uses=5, expires_at=_NOW_MS + 86_400_000)
        self._step(bea, Added(carl.account, Role.MEMBER, carl.account_key), opened)
        self._step(anna, ChannelOpened(self.channel, ChannelKind.VOICE, Role.MODERATOR))
        who = (dora.account, dora.device, dora.account_key)
        self._step(dora, self.link.sign_join(roster_id, *who))
        self._step(anna, RoleSet(dora.account, Role.MODERATOR))
        self._step(dora, Removed(carl.account))
        self._step(anna, leave_statement(roster_id, dora.account, 3, dora.key))


def make(_: Any) -> Any:
    """The whole file."""
    story = _Story()
    anna = story.people[0]
    certificate = LeafCertificate.create(
        anna.key,
        account=anna.account,
        leaf_key=story.people[1].key.public_key.to_bytes(),
        issued_at=NOW,
        expires_at=NOW + 90 * 86_400,
    )
    return {
        "description": DESCRIPTION,
        "people": [
            {
                "account": each.account.hex(),
                "account_key": each.account_key.hex(),
                "device": each.device.hex(),
                "device_key": each.key.to_bytes().hex(),
            }
            for each in story.people
        ],
        "name": {"name": "Garten", "salt": story.salt.hex()},
        "genesis": story.genesis.encode().hex(),
        "genesis_hash": story.genesis.hash().hex(),
        "log": [
            {
                "entry": roster.head.encode().hex(),
                "changes": [encode_change(change).hex() for change in roster.head.changes],
                "hash": roster.head_hash.hex(),
                "state": roster.state.encode().hex(),
                "binding": roster.binding.encode().hex(),
            }
            for roster in story.rosters
        ],
        "link": _link(story),
        "certificate": certificate.encode().hex(),
    }


def _link(story: _Story) -> Any:
    dora = story.people[3]
    return {
        "text": story.link.to_text(),
        "key": story.link.key.to_bytes().hex(),
        "link_id": story.link.link_id.hex(),
        "pass": story.link.sign_pass(dora.account, dora.device).hex(),
    }
