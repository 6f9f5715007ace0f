"""Handshakes as requests to a server, whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.groups import CommitBody, Handshake, ProposalBody, encode_body
from parlour.wire.streams import Part


def handshake(
    stream: bytes,
    client_id: bytes,
    epoch: int,
    body: CommitBody | ProposalBody,
    *,
    parts: Sequence[Part] = (),
    group_info: bytes | None = None,
) -> Handshake:
    """A commit or a proposal to an epoch, of the generation that it says it is of."""
    suite = SuiteId.MLS_COMMIT if isinstance(body, CommitBody) else SuiteId.MLS_PROPOSAL
    return Handshake(
        stream=stream,
        client_id=client_id,
        generation=body.generation,
        epoch=epoch,
        envelope=Envelope(ENVELOPE_FORMAT, suite, b"", encode_body(body)),
        parts=list(parts),
        group_info=group_info or b"",
    )
