"""The envelope of an entry: what the server stores of what people say."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.limits import MAX_BODY, MAX_KEY_ID

ENVELOPE_FORMAT: Final = 1


class SuiteId(IntEnum):
    """How an envelope is encrypted. No value means "plain", and none ever will."""

    DOUBLE_RATCHET_X3DH = 1
    DOUBLE_RATCHET_PQXDH = 2
    MLS_MESSAGE = 0x0100
    """A PrivateMessage (RFC 9420 §6.3); the genesis says under which cipher suite."""
    MLS_COMMIT = 0x0101
    """A commit as a PublicMessage, in a `groups.CommitBody`."""
    MLS_PROPOSAL = 0x0102
    """A proposal as a PublicMessage, in a `groups.ProposalBody`."""
    MLS_RESTART = 0x0103
    """The group begins again: a `groups.RestartBody`."""
    # Megolm's get numbers from 0x0200.


class Envelope(Body, array_like=True, frozen=True, gc=False):
    """Ciphertext with what its reader needs to find the key.

    A server passes on formats and suites that it does not know; a client keeps such an entry and
    names it to its user.
    """

    format: Annotated[int, Meta(ge=1, le=0xFFFF)]
    suite: Annotated[int, Meta(ge=1, le=0xFFFF)]
    key_id: Annotated[bytes, Meta(max_length=MAX_KEY_ID)]
    body: Annotated[bytes, Meta(max_length=MAX_BODY)]
