"""What an old device hands to a new one."""

from __future__ import annotations

import pytest

from parlour.client.handover import Handover
from parlour.errors import Code, ParlourError


def test_it_is_read_as_it_was_written() -> None:
    handover = Handover(7, b"contacts")
    assert Handover.decode(handover.encode()) == handover
    assert "contacts" not in repr(handover)


@pytest.mark.parametrize("data", [b"", b"\x92\xff\xc4\x00", b"\x92\x01\xa1\xff", b"\x91\x01"])
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(ParlourError) as refused:
        Handover.decode(data)
    assert refused.value.code is Code.DECODE_MALFORMED
