"""What mallory, a member, can make others take for hers: whatever it says, it is signed and sealed.

So inputs get past signatures, tags and AEAD, and reach what is decided after them.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace as replaced
from typing import Final

from msgspec.structs import replace

from fuzz.groups.members import Members
from parlour.codec import decode
from parlour.conversation.groups.messages import encode_clear
from parlour.errors import ParlourError
from parlour.mls import CommitOptions, GroupContextExtensions
from parlour.mls.private.protection import protect_public
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.public.commit import Commit, ProposalRef
from parlour.mls.public.extensions import Extension
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import encode_message
from parlour.mls.public.proposals import Proposal, read_proposal
from parlour.mls.public.types import WireFormat
from parlour.roster import EXTENSION_TYPE, RosterEntry
from parlour.roster.restart import sign_restart
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded
from parlour.wire.groups import CommitBody, ProposalBody, RestartBody, decode_body, encode_body

MESSAGE_ID: Final = b"m" * 16
_TAG: Final = b"t" * 32


class Mallory:
    """A malicious member with the state of the group as it is when this is made."""

    def __init__(self, members: Members) -> None:
        device, chat = members.devices["mallory"], members.chat("mallory")
        self.account_id = device.machine.account_id
        self.device_id = device.machine.device_id
        self._seconds = members.server.now // 1000
        self._key = device.machine._memory.local.signature_key
        self._roster = chat.known_roster()
        self._epoch_tag = chat.epoch_tag()
        self._stream = members.group
        self._record = dump_group(chat.live())
        self._group = load_group(self._record, OPEN_POLICY)

    def commit(self, data: bytes) -> bytes:
        """A `CommitBody` whose `commit` is the content of one, and whose entries she may sign."""
        body = decode_body(data, CommitBody)
        content = decode(body.commit, Commit.read)
        entries = [self._signed(each) for each in body.roster]
        proposals = [self._bound(each, entries) for each in content.proposals]
        commit = self._made(proposals) or self._forged(Commit(tuple(proposals), content.path))
        return encode_body(replace(body, commit=commit, roster=entries))

    def _made(self, proposals: list[Proposal | ProposalRef]) -> bytes | None:
        """A commit that is right in all that MLS asks for, if it can be."""
        wanted = [each for each in proposals if not isinstance(each, ProposalRef)]
        try:
            options = CommitOptions(ratchet_tree=False)
            made = self._group.commit(
                self._seconds, proposals=wanted, options=options, random=seeded(0)
            )
        except ParlourError:
            return None
        self._group.clear_pending()
        return made.commit

    def _signed(self, data: bytes) -> bytes:
        try:
            entry = RosterEntry.decode(data)
        except ParlourError:
            return data
        hers = replaced(entry, signer_account=self.account_id, signer_device=self.device_id)
        return hers.sign(self._key).encode()

    def _bound(
        self, proposal: Proposal | ProposalRef, entries: list[bytes]
    ) -> Proposal | ProposalRef:
        """The epoch names the newest of the entries, so that they are what is judged."""
        if not entries or not isinstance(proposal, GroupContextExtensions):
            return proposal
        try:
            head = RosterEntry.decode(entries[-1])
        except ParlourError:
            return proposal
        binding = replaced(self._roster.binding, number=head.number, head=head.hash())
        extension = Extension(EXTENSION_TYPE, binding.encode())
        return GroupContextExtensions(proposal.extensions.with_(extension))

    def proposal(self, data: bytes) -> bytes:
        """A `ProposalBody` whose `proposal` is the content of one."""
        body = decode_body(data, ProposalBody)
        message = self._forged(decode(body.proposal, read_proposal))
        return encode_body(replace(body, proposal=message))

    def restart(self, data: bytes) -> bytes:
        """A `RestartBody` with her signature, and her entries."""
        body = decode_body(data, RestartBody)
        entries = [self._signed(each) for each in body.roster]
        head = self._roster.head_hash
        if entries:
            with contextlib.suppress(ParlourError):
                head = RosterEntry.decode(entries[-1]).hash()
        signature = sign_restart(
            self._stream, body.generation, body.group_info_hash, head, self._key
        )
        return encode_body(replace(body, roster=entries, signature=signature))

    def message(self, plaintext: bytes) -> bytes:
        """A message that says this; each is the first one that she encrypts."""
        group = load_group(self._record, OPEN_POLICY)
        clear = encode_clear(self._epoch_tag, MESSAGE_ID)
        return group.encrypt(plaintext, clear, random=seeded(0))

    def _forged(self, body: Body) -> bytes:
        current = self._group.current
        context, suite = current.context, current.suite
        sender = Sender.member(current.leaf_index)
        content = FramedContent.of(context.group_id, context.epoch, sender, b"", body)
        signature = sign_content(
            suite, current.identity.signer, WireFormat.PUBLIC_MESSAGE, content, context
        )
        auth = AuthData(signature, _TAG if isinstance(body, Commit) else None)
        message = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, auth)
        key = current.secrets.membership_key
        return encode_message(protect_public(suite, key, context, message))
