"""Who comes by a link: what they have to show before they learn that there is a group."""

from __future__ import annotations

from typing import Final

from parlour.errors import AuthenticationError, Code, ParlourError, SecurityStop, error
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster import JoinedByLink, RosterEntry, RosterState, device_signature, labels
from parlour.roster.changes import join_content
from parlour.roster.links import verify_pass
from parlour.roster.state import Link
from parlour.server.groups.decoded import Sender
from parlour.wire.groups import CommitBody, LinkPass

# An entry of one change has 400 bytes: strangers make us decode no more.
_MAX_JOIN: Final = 1 << 10


def check_pass(
    roster_state: bytes, stream: bytes, link_pass: LinkPass, sender: Sender, now: int
) -> None:
    """Return if the link lets this device read the group; raises ``group.link``."""
    link = _open_link(RosterState.decode(roster_state), link_pass.link_id, sender, now)
    if link is None:
        raise error(Code.GROUP_LINK)
    try:
        verify_pass(link.public_key, stream, sender.account, sender.device, link_pass.signature)
    except (SecurityStop, AuthenticationError) as stop:
        raise error(Code.GROUP_LINK, "signature") from stop


def comes_by_link(roster_state: bytes, body: CommitBody, sender: Sender, now: int) -> bool:
    """Whether a commit brings the entry by which its sender comes in through an open link.

    All else is judged later; this keeps strangers from finding out which groups there are.
    """
    try:
        if len(body.roster) != 1 or len(body.roster[0]) > _MAX_JOIN:
            return False
        changes = RosterEntry.decode(body.roster[0]).changes
        state = RosterState.decode(roster_state)
        if len(changes) != 1 or not isinstance(change := changes[0], JoinedByLink):
            return False
        link = _open_link(state, change.link_id, sender, now)
        if link is None or (change.account, change.device) != (sender.account, sender.device):
            return False
        content = join_content(state.roster_id, change.account, change.device)
        key = Ed25519PublicKey(link.public_key)
        device_signature.verify_by_key(labels.LINK_JOIN, content, key, change.signature)
    except ParlourError:
        return False
    return True


def _open_link(state: RosterState, link_id: bytes, sender: Sender, now: int) -> Link | None:
    link = state.links.get(link_id)
    if link is None or link.expires_at <= now or sender.account in state.barred:
        return None
    return link
