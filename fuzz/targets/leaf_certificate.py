"""What stands in the leaves of a group's tree, and in the extension that binds it to its roster."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.roster import LeafCertificate, RosterBinding
from tests.rosters import ANNA

_CERTIFICATE: Final = LeafCertificate.create(
    ANNA.key,
    account=ANNA.account,
    leaf_key=bytes(32),
    issued_at=1_800_000_000,
    expires_at=1_800_086_400,
)

SEEDS: Final = [_CERTIFICATE.encode(), RosterBinding(bytes(32), 1, b"\xff" * 32).encode()]


def target(data: bytes) -> None:
    try:
        binding = RosterBinding.decode(data)
    except ParlourError:
        pass
    else:
        assert binding.encode() == data
    try:
        certificate = LeafCertificate.decode(data)
    except ParlourError:
        return
    assert certificate.encode() == data
    try:
        certificate.verify(ANNA.key.public_key)
    except ParlourError:
        return
    assert certificate == _CERTIFICATE
