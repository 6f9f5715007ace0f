"""Opening an entry: what stands in the way, the decryption, and the reason when it fails."""

from __future__ import annotations

from typing import Final

from parlour.conversation import content as contents
from parlour.conversation.content import Content
from parlour.conversation.inner import Inner
from parlour.conversation.reasons import Reason
from parlour.conversation.sealed import Context, open_entry
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, ParlourError
from parlour.wire.envelope import ENVELOPE_FORMAT, SuiteId
from parlour.wire.streams import Entry

_REASON_OF: Final[dict[Code, Reason]] = {
    Code.SESSION_NONE: Reason.NO_SESSION,
    Code.SESSION_STALE: Reason.NO_SESSION,
    Code.SESSION_REPLAYED: Reason.REPEATED,
    Code.PREKEY_UNKNOWN: Reason.NO_SESSION,
    Code.PREKEY_EXPIRED: Reason.NO_SESSION,
    Code.PREKEY_REUSED: Reason.PREKEY_USED,
    Code.SESSION_TOO_OLD: Reason.TOO_OLD,
    # So far on that it can't be followed any more: only another session helps.
    Code.SESSION_JUMP: Reason.NO_SESSION,
    Code.DECODE_VERSION: Reason.NEWER_FORMAT,
    Code.CRYPTO_TAG: Reason.TAMPERED,
}


class Opening:
    """Opens entries with this device's sessions."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def obstacle(self, entry: Entry, identity: DeviceIdentity | None) -> Reason | None:
        """What stands in the way of decrypting, before any key is touched."""
        if entry.envelope.format != ENVELOPE_FORMAT:
            return Reason.NEWER_FORMAT
        if entry.envelope.suite != SuiteId.DOUBLE_RATCHET_PQXDH:
            return Reason.NEWER_FORMAT
        if identity is None:
            contact = self._memory.contacts.get(entry.sender_account)
            if contact is not None and contact.stopped:
                return Reason.KEY_CHANGED
            return Reason.DEVICE_LIST
        if entry.part is None:
            return Reason.NO_PART
        return None

    def open(
        self, entry: Entry, identity: DeviceIdentity, genesis_hash: bytes, now: int
    ) -> tuple[Inner, Content, int]:
        """Decrypt. Sessions and prekeys change in memory, and are written with this step.

        Return also since which counter the sender encrypts for this device.
        """
        context = Context(
            genesis_hash=genesis_hash,
            stream=entry.stream,
            sender_account=entry.sender_account,
            sender_device=entry.sender_device,
            message_id=entry.client_id,
            suite=SuiteId.DOUBLE_RATCHET_PQXDH,
        )
        decrypted = self._memory.sessions(identity).decrypt(
            entry.part or b"",
            context.for_part(entry.envelope.body),
            self._memory.prekeys,
            now // 1000,
            self._memory.random,
        )
        self._memory.put_sessions(identity)
        if decrypted.new_session:
            self._memory.put_prekeys()
        plaintext, since = open_entry(entry.envelope.body, decrypted.plaintext, context)
        inner = Inner.decode(plaintext)
        return inner, contents.decode(inner.content), since


def reason_of(error: ParlourError) -> Reason:
    """Why an entry could not be opened."""
    return _REASON_OF.get(error.code, Reason.MALFORMED)
