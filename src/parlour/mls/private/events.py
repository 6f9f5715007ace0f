"""What a group has to tell about a message that it read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from parlour.mls.private.epoch import NextEpoch
from parlour.mls.private.processing import StagedCommit
from parlour.mls.private.selection import LeftOut
from parlour.mls.public.changes import Changes
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.proposals import Proposal
from parlour.mls.public.types import LeafIndex


@dataclass(frozen=True, slots=True)
class ApplicationMessage:
    """Something that a member said. `sender` is its leaf in the epoch of the message."""

    sender: LeafIndex
    leaf_node: LeafNode = field(repr=False)
    epoch: int
    data: bytes = field(repr=False)
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class ReceivedProposal:
    """A valid proposal, which the next commit may cover by its reference."""

    reference: bytes
    proposal: Proposal
    sender: Sender
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A commit of our own that waits to be accepted.

    `commit`, `welcome` and `group_info` are MLSMessages; the Welcome is for the new members, once
    the commit has won (§14: "the Welcome message corresponding to a Commit MUST NOT be delivered
    to a new joiner until it's clear that the Commit has been accepted"), and so is the GroupInfo,
    without a tree, for who joins by a commit. `left_out` is what others proposed and the commit
    does not cover; records of groups do not keep it.
    """

    commit: bytes = field(repr=False)
    welcome: bytes | None = field(repr=False)
    changes: Changes = field(repr=False)
    next: NextEpoch = field(repr=False)
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)
    group_info: bytes | None = field(default=None, repr=False)


Received: TypeAlias = ApplicationMessage | ReceivedProposal | StagedCommit | PendingCommit
"""`receive` gives our own pending commit back when it comes from the delivery service."""
