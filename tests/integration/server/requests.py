"""One valid request of each operation that needs a token."""

from __future__ import annotations

import os

from msgspec import Struct

from parlour.login import ClientRegistration
from parlour.server.clock import system_clock
from parlour.wire.directory import AppendDeviceList, LookUp, ReadDeviceList
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.groups import (
    CreateGroup,
    FetchKeyPackages,
    Handshake,
    KnownList,
    PublishKeyPackages,
    ReadDeviceLists,
    ReadGroup,
    ReadListHeads,
    RestartGroup,
)
from parlour.wire.invites import CreateInvite, RevokeInvite
from parlour.wire.kinds import OPERATIONS, Door, Kind
from parlour.wire.linking import LinkAnswer, LinkTake
from parlour.wire.login import LogOutEverywhere, RevokeSession
from parlour.wire.prekeys import FetchBundles, PublishPrekeys
from parlour.wire.profiles import ReadProfile, SetProfile
from parlour.wire.server import Nothing
from parlour.wire.streams import (
    Acknowledge,
    CatchUp,
    CreateConversation,
    ListStreams,
    LiveStart,
    Position,
    Read,
)
from parlour.wire.vaults import PasswordStart

from .people import Person, message

GUARDED = [kind for kind, each in OPERATIONS.items() if each.door in (Door.TOKEN, Door.LIVE)]
ON_REST = [kind for kind in GUARDED if OPERATIONS[kind].door is Door.TOKEN]
NAMES_A_STREAM = [
    Kind.APPEND,
    Kind.READ,
    Kind.CATCH_UP,
    Kind.ACKNOWLEDGE,
    Kind.LIVE_START,
]


def in_a_day() -> int:
    return system_clock() + 24 * 60 * 60 * 1000


def sample(kind: Kind, person: Person, stream: bytes) -> Struct:
    """A request of `person` that would succeed, if they are in `stream`."""
    samples: dict[Kind, Struct] = {
        Kind.SESSIONS: Nothing(),
        Kind.REVOKE_SESSION: RevokeSession("0123456789abcdef"),
        Kind.LOG_OUT: Nothing(),
        Kind.LOG_OUT_EVERYWHERE: LogOutEverywhere(True),
        Kind.READ_VAULT: Nothing(),
        Kind.PASSWORD_START: PasswordStart(ClientRegistration.start(person.password)[1]),
        Kind.PASSWORD_FINISH: person.new_password(),
        Kind.LINK_TAKE: LinkTake(b"mailbox of alice", 0, False),
        Kind.LINK_ANSWER: LinkAnswer(b"mailbox of alice", 0, b"greeting"),
        Kind.CREATE_INVITE: CreateInvite(os.urandom(32), 1, in_a_day()),
        Kind.INVITES: Nothing(),
        Kind.REVOKE_INVITE: RevokeInvite(bytes(32)),
        Kind.SET_PROFILE: SetProfile(b"sealed profile"),
        Kind.READ_PROFILE: ReadProfile(person.account_id),
        Kind.LOOK_UP: LookUp(person.name),
        Kind.READ_DEVICE_LIST: ReadDeviceList(person.account_id, 0),
        Kind.APPEND_DEVICE_LIST: AppendDeviceList(person.next_list().encode()),
        Kind.PUBLISH_PREKEYS: PublishPrekeys([]),
        Kind.COUNT_PREKEYS: Nothing(),
        Kind.FETCH_BUNDLES: FetchBundles(person.account_id, [person.device_id]),
        Kind.READ_DEVICE_LISTS: ReadDeviceLists([KnownList(person.account_id, 0)]),
        Kind.READ_LIST_HEADS: ReadListHeads([person.account_id]),
        Kind.PUBLISH_KEY_PACKAGES: PublishKeyPackages([]),
        Kind.COUNT_KEY_PACKAGES: Nothing(),
        Kind.FETCH_KEY_PACKAGES: FetchKeyPackages(1, [person.device_id]),
        Kind.CREATE_GROUP: CreateGroup(os.urandom(16), "group", b"genesis", b"entry", b"", b""),
        Kind.HANDSHAKE: Handshake(
            stream, os.urandom(16), 0, 0, Envelope(1, SuiteId.MLS_COMMIT, b"", b"body"), [], b""
        ),
        Kind.READ_GROUP: ReadGroup(stream),
        Kind.RESTART_GROUP: RestartGroup(
            stream, os.urandom(16), 1, 0, Envelope(1, SuiteId.MLS_RESTART, b"", b"body"), b"", b""
        ),
        Kind.CREATE_CONVERSATION: CreateConversation(
            os.urandom(16), "direct", [person.account_id, os.urandom(16)], b""
        ),
        Kind.CONVERSATIONS: ListStreams(),
        Kind.APPEND: message(stream, b"hello"),
        Kind.READ: Read(stream, 0, 10),
        Kind.CATCH_UP: CatchUp([Position(stream, 0)]),
        Kind.ACKNOWLEDGE: Acknowledge([Position(stream, 0)]),
        Kind.LIVE_START: LiveStart(None, bytes(16), [Position(stream, 0)]),
    }
    assert samples.keys() == set(GUARDED)
    return samples[kind]
