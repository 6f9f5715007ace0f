"""Where randomness comes from unless another source is given."""

from parlour.primitives.random import system_random


def test_the_system_gives_fresh_bytes() -> None:
    assert len(system_random(32)) == 32
    assert system_random(32) != system_random(32)
    assert system_random(0) == b""
