"""Prekey bundles: which are needed, and the sessions that begin with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from parlour.conversation.events import DeviceLeftOut
from parlour.conversation.records import Conversation
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.double_ratchet.prekeys import Prekey, PrekeyBundle
from parlour.errors import Code, NotFoundError, ParlourError, error
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundle, Bundles, FetchBundles

BUNDLES: Final = "bundles"
# Milliseconds until the prekeys of a device that had none are asked for again.
LEFT_OUT_FOR: Final = 3_600_000


class Bundling:
    """Starts sessions with devices that have none."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        # Devices without prekeys, and since when they are left out, in milliseconds.
        self._left_out: dict[bytes, int] = {}

    def connected(self) -> None:
        """A server that had no prekeys may have them by now."""
        self._left_out.clear()

    def requests(
        self, conversation: Conversation, inboxes: Iterable[bytes], now: int
    ) -> list[ServerRequest]:
        """What has to be fetched for messages to the conversation (empty) or to these devices."""
        missing: dict[bytes, set[bytes]] = {}
        for inbox in inboxes:
            for target in self._memory.targets(conversation, inbox):
                if not self._memory.can_send(target) and not self._is_left_out(target, now):
                    missing.setdefault(target.account_id, set()).add(target.device_id)
        return [
            ServerRequest(
                (BUNDLES, account_id),
                Kind.FETCH_BUNDLES,
                FetchBundles(account_id=account_id, device_ids=sorted(device_ids)),
            )
            for account_id, device_ids in sorted(missing.items())
        ]

    def is_ready(self, conversation: Conversation, inbox: bytes, now: int) -> bool:
        """Whether every device that a message goes to has a session, or is left out.

        Something that nobody but our own devices could read waits.
        """
        targets = self._memory.targets(conversation, inbox)
        reached = [target for target in targets if self._memory.can_send(target)]
        if inbox:
            return len(reached) == len(targets)
        return all(
            target in reached or self._is_left_out(target, now) for target in targets
        ) and any(target.account_id == conversation.peer for target in reached)

    def _is_left_out(self, target: DeviceIdentity, now: int) -> bool:
        since = self._left_out.get(target.device_id)
        return since is not None and since <= now < since + LEFT_OUT_FOR

    def answered(
        self, account_id: bytes, asked: Sequence[bytes], answer: Bundles, now: int
    ) -> None:
        """Start a session with each device whose bundle came.

        A bad bundle blocks the sending. A device without one, or that was away until its prekeys
        expired, is left out for a while: it must not keep us from writing to the others.
        """
        contact = self._memory.contacts[account_id]
        bundles = {bundle.device_id: bundle for bundle in answer.bundles}
        if any(contact.identity(device_id) is None for device_id in bundles):
            raise error(Code.SERVER_MISBEHAVED, "a bundle of a device not on the list")
        identities = [identity for identity in contact.identities() if identity.device_id in asked]
        for identity in identities:
            bundle = bundles.get(identity.device_id)
            if bundle is not None and not self._memory.can_send(identity):
                self._initiate(identity, bundle, now)
        if account_id != self._memory.account_id and not any(
            self._memory.can_send(identity) for identity in contact.identities()
        ):
            # There is nobody to write to: this is asked again, with pauses.
            raise NotFoundError(Code.PREKEY_NONE)
        for identity in identities:
            if not self._memory.can_send(identity):
                self._leave_out(identity, now)

    def _initiate(self, identity: DeviceIdentity, bundle: Bundle, now: int) -> None:
        try:
            self._memory.sessions(identity).initiate(
                _decode_bundle(identity, bundle), now // 1000, self._memory.random
            )
        except ParlourError as cause:
            if cause.code is not Code.PREKEY_EXPIRED:
                raise
        self._memory.put_sessions(identity)

    def _leave_out(self, identity: DeviceIdentity, now: int) -> None:
        if identity.device_id not in self._left_out:
            self._memory.events.append(DeviceLeftOut(identity.account_id, identity.device_id))
        self._left_out[identity.device_id] = now


def _decode_bundle(identity: DeviceIdentity, bundle: Bundle) -> PrekeyBundle:
    """Decode the signed prekeys of a bundle; what the server says beside them is not believed."""
    try:
        return PrekeyBundle(
            identity=identity,
            signed_prekey=Prekey.from_bytes(bundle.signed.data),
            one_time_prekey=Prekey.from_bytes(bundle.one_time.data) if bundle.one_time else None,
            kem_prekey=Prekey.from_bytes(bundle.kem.data) if bundle.kem else None,
        )
    except ParlourError as cause:
        raise error(Code.SERVER_MISBEHAVED, "a prekey that does not decode") from cause
