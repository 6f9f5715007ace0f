"""Who belongs to a group, in which role: a signed, hash-chained log that every client checks.

A genesis fixes for good what a conversation is. Entries follow, each signed by a device of a
member, each allowed by the roles that the entry before has left. The server follows the same log
and refuses what no client would take; it can't write into it.

Layout: `genesis`; `roles` (the table of rights), `changes`, `entry`, `state`; `draft` (the rules,
change by change), `roster` (the log's head and its state), `carrying` (two branches of one log);
`certificate` (the key of a leaf), `extension` (what binds an epoch of MLS to the log); `links`,
`naming`; `device_signature`, `limits`, `labels`.
"""

from parlour.roster.certificate import LeafCertificate
from parlour.roster.changes import (
    NO_KEY,
    Added,
    Change,
    ChannelClosed,
    ChannelKind,
    ChannelOpened,
    JoinedByLink,
    Left,
    LinkClosed,
    LinkOpened,
    Named,
    Removed,
    RoleSet,
    decode_change,
    encode_change,
    leave_statement,
)
from parlour.roster.device_signature import FindKey
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE, RosterBinding
from parlour.roster.genesis import Genesis, History, Kind, Mode, Retention
from parlour.roster.readding import ReaddWish
from parlour.roster.roles import RIGHTS, Right, Role, may
from parlour.roster.roster import Roster
from parlour.roster.state import Channel, Link, Member, RosterState

__all__ = [
    "EXTENSION_TYPE",
    "NO_KEY",
    "RIGHTS",
    "Added",
    "Change",
    "Channel",
    "ChannelClosed",
    "ChannelKind",
    "ChannelOpened",
    "FindKey",
    "Genesis",
    "History",
    "JoinedByLink",
    "Kind",
    "LeafCertificate",
    "Left",
    "Link",
    "LinkClosed",
    "LinkOpened",
    "Member",
    "Mode",
    "Named",
    "ReaddWish",
    "Removed",
    "Retention",
    "Right",
    "Role",
    "RoleSet",
    "Roster",
    "RosterBinding",
    "RosterEntry",
    "RosterState",
    "decode_change",
    "encode_change",
    "leave_statement",
    "may",
]
