"""Policies: what a conversation of one kind is under one preset, and what is refused under any.

A policy is chosen when a conversation is founded, by who founds it; what others have to know of it
is fixed in the genesis. There is no policy without encryption, and no option that makes one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, assert_never

from parlour.errors import Code, SecurityStop, UsageError, error
from parlour.mls.public.suites import CipherSuiteId
from parlour.roster import Genesis, History, Kind, Mode, Retention

SUITE_1: Final = CipherSuiteId.X25519_AES128GCM_SHA256_ED25519
XWING: Final = CipherSuiteId.XWING_AES128GCM_SHA256_ED25519
XWING_256: Final = CipherSuiteId.XWING_AES256GCM_SHA384_ED25519
# Under X-Wing the first commit after many were added holds 1.2 KB for each device, and has to fit
# one entry (`wire.limits.MAX_HANDSHAKE_BODY`). A group that may grow beyond needs suite 1.
MAX_XWING_LEAVES: Final = 700
# What a tree of suite 1 has room for: 1,500 people with two devices, and some more.
MAX_LEAVES: Final = 4_096


class Suite(Enum):
    """How messages of a conversation are encrypted.

    The value: its name in the command line, what people call it, whether it is there, and whether
    somebody who was told a message could have made it up (deniability, docs/trust.md).
    """

    DOUBLE_RATCHET = ("double-ratchet", "PQXDH and the Double Ratchet", True, True)
    MLS = ("mls", "MLS (RFC 9420)", True, False)
    OLM = ("olm", "Olm", False, True)
    MEGOLM = ("megolm", "Megolm, its keys shared over Olm", False, False)
    SRTP = ("srtp", "voice alone, SRTP to the server and on from there", False, True)

    @property
    def label(self) -> str:
        """Its name in the command line."""
        return self.value[0]

    @property
    def title(self) -> str:
        """What people call it."""
        return self.value[1]

    @property
    def is_built(self) -> bool:
        """Whether this version has it."""
        return self.value[2]

    @property
    def is_deniable(self) -> bool:
        """Whether messages could have been made up by who was told them."""
        return self.value[3]


class Verification(StrEnum):
    """When a person's key is believed. More come with what needs them."""

    FIRST_CONTACT = "first-contact"
    """As an invite or the server shows it first. Whoever has compared is stopped by a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What conversations of one kind are under one preset.

    `cipher_suites` are those of MLS, the preferred one first; `update_days` and `update_messages`
    say after how much of either a device replaces its own key in the group (0: each message does,
    or nothing does, by the suite); `idle_linked_days` and `idle_primary_days` after how long
    without that any member may take a device out (0: there is nothing to take it out of).
    """

    suite: Suite
    cipher_suites: tuple[CipherSuiteId, ...] = ()
    retention: Retention = Retention.QUEUE
    retention_days: int = 0
    history: History = History.NONE
    mode: Mode = Mode.PARANOID
    max_members: int
    update_days: int = 0
    update_messages: int = 0
    idle_linked_days: int = 0
    idle_primary_days: int = 0
    max_pairwise_devices: int = 0
    verification: Verification = Verification.FIRST_CONTACT
    refuses_replays: bool = True

    @property
    def missing(self) -> str:
        """What of it this version does not have, named; nothing if it has all of it."""
        if not self.suite.is_built:
            return f"suite {self.suite.label}"
        if self.history is not History.NONE:
            return "an archive"
        if self.mode is not Mode.PARANOID:
            return f"mode {self.mode.name.lower()}"
        return ""

    def choose_suite(self, supported: Collection[int], leaves: int) -> CipherSuiteId:
        """The first suite of the policy that every device supports, and a tree has room for.

        `supported` are the suites that all devices have in common, `leaves` how many devices there
        are at once. Raises `UsageError` if there is none, `LimitError` if no tree has room.
        """
        if leaves > MAX_LEAVES:
            raise error(Code.GROUP_FULL, f"{leaves} devices, at most {MAX_LEAVES}")
        for suite in self.cipher_suites:
            if suite in supported and leaves <= max_leaves(suite):
                return suite
        raise UsageError(Code.USAGE_STATE, "no suite that all devices of the group support")


def max_leaves(suite: int) -> int:
    """How many devices a group of that suite of MLS may have."""
    return MAX_XWING_LEAVES if suite in (XWING, XWING_256) else MAX_LEAVES


def requires_encryption(kind: Kind) -> bool:
    """True. It is a function so that a kind that comes later has to be answered for here.

    No option, no preset and nothing that a server says is asked.
    """
    match kind:
        case Kind.DIRECT | Kind.SELF | Kind.GROUP | Kind.FAMILY | Kind.CHANNEL:
            return True
        case _:
            assert_never(kind)


# What this client founds and joins. Whoever invites, and whichever server passes it on, can't
# lower it (docs/trust.md): a suite that is weak or unknown, an archive that others keep without
# our knowledge, or a room that the server hears, ends here.
FLOOR_SUITES: Final = frozenset({SUITE_1, XWING, XWING_256})


def check_floor(genesis: Genesis) -> None:
    """Return if a genesis is nothing less than we would found, else raise `SecurityStop`."""
    if genesis.suite not in FLOOR_SUITES:
        raise SecurityStop(Code.CONVERSATION_GENESIS, f"suite {genesis.suite:#06x}")
    if genesis.history is not History.NONE:
        raise SecurityStop(Code.CONVERSATION_GENESIS, "an archive, which is not kept here")
    if genesis.mode is not Mode.PARANOID:
        raise SecurityStop(Code.CONVERSATION_GENESIS, f"mode {genesis.mode.name.lower()}")
