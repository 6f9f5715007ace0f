"""A message to oneself through the whole path: encrypted, stored by the server, read, decrypted.

It goes to this device's own inbox, and is encrypted between two device keys made for it alone, by
the protocol that messages use: the device's own sessions and prekeys stay as they are. The client
passes over what is in its inbox from itself.
"""

from __future__ import annotations

import time
from typing import Final

from parlour.cli.doctor.checks import Finding, Patient
from parlour.client.connection import Connection
from parlour.client.workers import run_slow
from parlour.double_ratchet import (
    DeviceIdentity,
    LocalDevice,
    PeerSessions,
    PrekeyBundle,
    PrekeyStore,
)
from parlour.errors import Code, ParlourError, error
from parlour.identity.device_list import device_id_of
from parlour.primitives.hashes import equal
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.streams import Append, Appended, Page, Part, Read

_LABEL: Final = b"parlour/1 doctor round trip"
_SIZE: Final = 64
_MILLISECONDS: Final = 1000
# What a queue keeps longest is days; this need not outlive the minute.
_KEPT_MS: Final = 60_000


class Probe:
    """Two devices that exist for one message."""

    def __init__(self, now: int, random: Random = system_random) -> None:
        self._now = now
        self._random = random
        self._alice = LocalDevice.generate(random(ID_SIZE), random)
        self._bob = LocalDevice.generate(random(ID_SIZE), random)
        self._prekeys = PrekeyStore.create(self._bob, now, random)
        self.plaintext = random(_SIZE)

    def seal(self) -> bytes:
        """The first message of a new session, post-quantum part included."""
        upload = self._prekeys.publish()
        self._prekeys.mark_published(upload)
        bundle = PrekeyBundle(
            self._bob.identity, upload.signed_prekey, upload.one_time[0], upload.one_time_kem[0]
        )
        sessions = self._sessions(self._alice, self._bob.identity)
        sessions.initiate(bundle, self._now, self._random)
        return sessions.encrypt(self.plaintext, _LABEL, self._now, self._random)

    def opens(self, ciphertext: bytes) -> bool:
        """Whether the other device reads what was said."""
        sessions = self._sessions(self._bob, self._alice.identity)
        opened = sessions.decrypt(ciphertext, _LABEL, self._prekeys, self._now, self._random)
        return equal(opened.plaintext, self.plaintext)

    @staticmethod
    def _sessions(local: LocalDevice, peer: DeviceIdentity) -> PeerSessions:
        return PeerSessions(local, peer)


async def round_trip(patient: Patient, connection: Connection) -> Finding:
    """Send the message, read it back, decrypt it."""
    try:
        took = await _travel(patient, connection)
    except ParlourError as failure:
        detail = f" ({failure.detail})" if failure.detail else ""
        text = f"A message to yourself did not come back. {failure.sentence}{detail}"
        return Finding("message", False, text, failure.remedy, failure.code)
    return Finding(
        "message", True, f"An encrypted message to yourself went there and back, in {took:.0f} ms"
    )


async def _travel(patient: Patient, connection: Connection) -> float:
    now = time.time()
    probe = await run_slow(Probe, int(now))
    ciphertext = await run_slow(probe.seal)
    inbox = device_id_of(Ed25519PrivateKey(patient.own.signature_key).public_key)
    append = Append(
        stream=inbox,
        client_id=system_random(ID_SIZE),
        envelope=Envelope(ENVELOPE_FORMAT, SuiteId.DOUBLE_RATCHET_PQXDH, b"", b""),
        parts=[Part(inbox, ciphertext)],
        expires_at=int(now * _MILLISECONDS) + _KEPT_MS,
    )
    began = time.monotonic()
    appended = await connection.ask(Kind.APPEND, append, Appended)
    page = await connection.ask(Kind.READ, Read(inbox, appended.seq - 1, 1), Page)
    took = (time.monotonic() - began) * _MILLISECONDS
    entry = next((entry for entry in page.entries if entry.seq == appended.seq), None)
    if entry is None or entry.part is None:
        raise error(Code.SERVER_MISBEHAVED, "the message is not there")
    if entry.part != ciphertext or not await run_slow(probe.opens, entry.part):
        raise error(Code.SERVER_MISBEHAVED, "another message came back")
    return took
