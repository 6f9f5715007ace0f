"""What the first epoch of a generation has to fulfil: at founding, and at a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.errors import AccessError, Code
from parlour.mls.public.capabilities import RequiredCapabilities
from parlour.mls.public.group import PublicGroup
from parlour.mls.public.state import PublicState
from parlour.mls.public.types import ExtensionType
from parlour.primitives.hashes import sha256
from parlour.roster import (
    EXTENSION_TYPE,
    Genesis,
    Kind,
    Right,
    Roster,
    RosterEntry,
)
from parlour.roster import (
    Retention as Keeping,
)
from parlour.roster.restart import may_follow, verify_restart
from parlour.roster.roles import FIXED_KINDS
from parlour.server.groups.authority import Authority
from parlour.server.groups.commits import Judged, check_open
from parlour.server.groups.decoded import Sender
from parlour.server.groups.leaves import check_owners
from parlour.server.groups.refusals import judged, refusal, require
from parlour.server.groups.tracked import (
    TrackedGroup,
    changed_nodes,
    decode_group_info,
    encode_node,
    mls_group_id,
    owners_of,
)
from parlour.server.store.group_records import GroupChange, Leaf, NewGroup
from parlour.server.store.records import Retention, RetentionRule
from parlour.wire.groups import CreateGroup, RestartBody, RestartGroup, decode_body
from parlour.wire.streams import StreamInfo, StreamKind

_KINDS: Final[dict[StreamKind, Kind]] = {
    "direct": Kind.DIRECT,
    "self": Kind.SELF,
    "group": Kind.GROUP,
    "family": Kind.FAMILY,
    "channel": Kind.CHANNEL,
}
_EXTENSIONS: Final = {ExtensionType.REQUIRED_CAPABILITIES, EXTENSION_TYPE}


def judge_founding(
    request: CreateGroup, sender: Sender, authority: Authority, now: int
) -> tuple[NewGroup, TrackedGroup]:
    """Judge a founding, or raise by which rule it is refused; `now` in seconds."""
    with judged():
        genesis = Genesis.decode(request.genesis)
        require(_KINDS.get(request.kind) is genesis.kind, "a genesis of another kind")
        require(genesis.stream == request.stream, "a genesis of another stream")
        own = (genesis.creator_account, genesis.creator_device) == (sender.account, sender.device)
        require(own, "a genesis of another device")
        roster = Roster.found(genesis, RosterEntry.decode(request.roster), authority.find_key)
        accounts = roster.state.members
        # Others come by commits, with devices that can read.
        alone = genesis.kind in FIXED_KINDS or len(accounts) == 1
        require(alone, "a founding entry with others than its creator")
        state = _first_epoch(request.group_info, request.tree, genesis, 0, sender, authority, now)
        _check_context(state, roster)
        _check_key(roster, sender, authority)
    tracked = TrackedGroup(request.kind, request.stream, 0, state, roster, owners_of(state.tree))
    info = StreamInfo(request.stream, request.kind, list(accounts), request.genesis, 0)
    return (
        NewGroup(
            info,
            retention_of(genesis),
            request.group_info,
            roster.state.encode(),
            roster.head.encode(),
            encode_node(state.tree, 0) or b"",
        ),
        tracked,
    )


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart to be judged; `now` in milliseconds."""

    request: RestartGroup
    entries: tuple[RosterEntry, ...]
    sender: Sender
    now: int


def judge_restart(group: TrackedGroup, restart: Restart, authority: Authority) -> Judged:
    """Judge the beginning of another generation, or raise by which rule it is refused."""
    request, sender = restart.request, restart.sender
    with judged():
        if not group.roster.state.may(sender.account, Right.RESTART):
            raise AccessError(Code.ROSTER_FORBIDDEN, "no right to restart")
        follows = may_follow(request.generation, group.generation)
        require(follows, "a generation that is too far ahead")
        roster = group.roster
        for entry in restart.entries:
            active = authority.is_active(entry.signer_account, entry.signer_device)
            require(active, "a roster entry of a device that is not on its list")
            roster = roster.extend(entry, authority.find_key, restart.now)
        stays = sender.account in roster.state.members
        require(stays, "a restart by who is no member any more")
        state = _first_epoch(
            request.group_info,
            request.tree,
            roster.genesis,
            request.generation,
            sender,
            authority,
            restart.now // 1000,
        )
        require(state.suite.id == group.state.suite.id, "a restart in another cipher suite")
        _check_context(state, roster)
        _check_maker(request, roster, sender, authority)
        owners = owners_of(state.tree)
        check_owners(owners, group, roster, begins=True)
        _check_key(roster, sender, authority)
    after = TrackedGroup(
        group.kind, group.stream, request.generation, state, roster, owners, wishes=group.wishes
    )
    change = GroupChange(
        generation=request.generation,
        epoch=0,
        group_info=request.group_info,
        nodes=changed_nodes(None, state.tree),
        leaves=[Leaf(0, sender.device)],
        whole=True,
        roster=(roster.state.encode(), roster.head.encode()),
        accounts=frozenset(roster.state.members),
    )
    return Judged(change, after)


def _check_maker(
    request: RestartGroup, roster: Roster, sender: Sender, authority: Authority
) -> None:
    """That whoever brings it has signed for it: members take no other."""
    body = decode_body(request.envelope.body, RestartBody)
    same = body.group_info_hash == sha256(request.group_info)
    require(same, "a restart signed for another GroupInfo")
    verify_restart(
        request.stream,
        request.generation,
        body.group_info_hash,
        roster.head_hash,
        sender.device,
        authority.find_key(sender.account, sender.device),
        body.signature,
    )


def retention_of(genesis: Genesis) -> Retention:
    """How long the entries of a conversation are kept, as its genesis fixes it."""
    match genesis.retention:
        case Keeping.QUEUE:
            return Retention.queue()
        case Keeping.DAYS:
            return Retention(RetentionRule.DAYS, genesis.retention_days)
        case Keeping.FOREVER:
            return Retention(RetentionRule.FOREVER, 0)


def _first_epoch(
    group_info: bytes,
    tree: bytes,
    genesis: Genesis,
    generation: int,
    sender: Sender,
    authority: Authority,
    now: int,
) -> PublicState:
    """The public state of an epoch 0 that is the sender's alone."""
    info = decode_group_info(group_info)
    check_open(info)
    context = info.group_context
    named = context.group_id == mls_group_id(genesis.stream, generation)
    require(named, "the MLS group of another stream or generation")
    require(context.epoch == 0, "a beginning in a later epoch")
    require(context.cipher_suite == genesis.suite, "another cipher suite than the genesis names")
    state = PublicGroup.follow(info, now, authority.policy, tree).state
    owners = owners_of(state.tree)
    alone = list(owners) == [0] and state.tree.leaf_count == 1
    require(alone, "a beginning of others than its maker")
    own = (owners[0].account, owners[0].device) == (sender.account, sender.device)
    require(own, "a beginning of another device")
    leaf = state.tree.leaf(0)
    if leaf is None or not authority.accepts(leaf.credential, leaf.signature_key):
        raise refusal("a leaf that its device has not certified")
    return state


def _check_key(roster: Roster, sender: Sender, authority: Authority) -> None:
    """That who begins shows the key under which it stands on the roster."""
    known = authority.shows_its_key(roster.state, sender.account)
    require(known, "an account that shows another key than it came in under")


def _check_context(state: PublicState, roster: Roster) -> None:
    """That the epoch is bound to the roster, and nobody can overlook it."""
    extensions = state.group_context.extensions
    require(set(extensions.types) == _EXTENSIONS, "other extensions of a group")
    bound = extensions.find(EXTENSION_TYPE) == roster.binding.encode()
    require(bound, "an epoch that is not bound to the newest roster entry")
    required = RequiredCapabilities.of(extensions)
    named = required is not None and EXTENSION_TYPE in required.extension_types
    require(named, "a roster that members may overlook")
