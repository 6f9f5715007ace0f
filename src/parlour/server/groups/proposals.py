"""What a proposal has to fulfil in public. Two kinds are used: leaving, and renewing a leaf."""

from __future__ import annotations

from dataclasses import replace

from parlour.errors import Code, DecodeError
from parlour.mls.public.framing.messages import PublicMessage
from parlour.mls.public.group import PublicGroup
from parlour.mls.public.proposals import Remove, Update
from parlour.mls.public.types import SenderType
from parlour.roster import Left, Roster, decode_change, device_signature, labels
from parlour.roster.changes import leave_content
from parlour.roster.roles import FIXED_KINDS
from parlour.server.groups.authority import Authority, owner_of
from parlour.server.groups.decoded import Sender
from parlour.server.groups.refusals import judged, refusal, require
from parlour.server.groups.tracked import TrackedGroup


def proposal_devices(message: PublicMessage, evidence: bytes) -> set[bytes]:
    """Every device that judging it may ask about."""
    found = set()
    if isinstance(message.content.body, Update):
        found.add(owner_of(message.content.body.leaf_node).device)
    if evidence:
        statement = decode_change(evidence)
        if isinstance(statement, Left):
            found.add(statement.device)
    return found


def judge_proposal(
    group: TrackedGroup,
    message: PublicMessage,
    evidence: bytes,
    sender: Sender,
    authority: Authority,
    now: int,
) -> TrackedGroup:
    """The group with the proposal waiting in it, or raise; `now` in seconds."""
    with judged():
        content = message.content
        from_leaf = content.sender.sender_type is SenderType.MEMBER
        owner = group.owners.get(content.sender.index) if from_leaf else None
        own = owner is not None and (owner.account, owner.device) == (sender.account, sender.device)
        require(own, "a proposal of another device")
        _check_kind(group, message, evidence, sender, authority)
        # A second one of a kind would only make the first one invalid.
        again = any(
            sent.sender == content.sender and type(sent.proposal) is type(content.body)
            for sent in group.proposals
        )
        require(not again, "proposed before")
        after = group.public(authority.policy).receive(message, now)
        if not isinstance(after, PublicGroup):
            raise refusal("not a proposal")
    return replace(group, proposals=after.proposals)


def _check_kind(
    group: TrackedGroup,
    message: PublicMessage,
    evidence: bytes,
    sender: Sender,
    authority: Authority,
) -> None:
    proposal = message.content.body
    match proposal:
        case Remove(removed):
            require(removed == message.content.sender.index, "a proposal to remove another one")
            _check_leave(group.roster, evidence, sender, authority)
        case Update():
            require(not evidence, "evidence for nothing")
        case _:
            name = type(proposal).__name__
            raise refusal(f"a proposal of a kind that is not used: {name}")


def _check_leave(roster: Roster, evidence: bytes, sender: Sender, authority: Authority) -> None:
    """That the account has signed what the roster needs, so that any member can enter it."""
    statement = decode_change(evidence)
    if not isinstance(statement, Left):
        raise DecodeError(Code.DECODE_MALFORMED, "not a statement to leave")
    require(roster.genesis.kind not in FIXED_KINDS, "nobody leaves a conversation of this kind")
    require(statement.account == sender.account, "a statement of another account")
    member = roster.state.members.get(sender.account)
    if member is None:
        raise refusal("a statement of who is no member")
    content = leave_content(
        roster.state.roster_id, statement.account, statement.device, member.since
    )
    key = authority.find_key(statement.account, statement.device)
    device_signature.verify(labels.LEAVE, content, statement.device, key, statement.signature)
