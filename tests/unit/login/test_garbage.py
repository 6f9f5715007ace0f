"""Whatever arrives, each reader gives a value or a `ParlourError`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets.login_messages import READERS, SEEDS, target
from parlour.errors import AccessError, ParlourError
from parlour.login import OpaqueServer
from tests.unit.login.story import log_in


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(READERS) - 1), st.binary(max_size=400))
def test_garbage_gives_only_our_errors(reader: int, data: bytes) -> None:
    target(bytes((reader,)) + data)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_a_changed_byte_gives_only_our_errors(seed: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(seed) - 1))
    target(seed[:at] + bytes((data.draw(st.integers(0, 255)),)) + seed[at + 1 :])


def test_the_seeds_reach_what_they_are_meant_for() -> None:
    accepted = []
    for seed in SEEDS:
        try:
            READERS[seed[0]](seed[1:])
        except ParlourError:
            continue
        accepted.append(READERS[seed[0]].__name__)
    # KE3, KE2 and the confirmation belong to another run and are refused at the end. A response to
    # another registration can't be told: what it leads to is a record that opens nothing.
    assert accepted == [
        "_register",
        "finish_registration",
        "_begin",
        "_record",
        "_response",
        "_safety_number",
        "_names",
    ]


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 95), bit=st.integers(0, 7))
def test_no_changed_proof_is_accepted(
    server: OpaqueServer, record: bytes, at: int, bit: int
) -> None:
    login = log_in(server, record)
    proof = bytearray(login.proof.ke3 + login.proof.binding)
    proof[at] ^= 1 << bit
    with pytest.raises(AccessError):
        login.finish(ke3=bytes(proof[:64]), binding=bytes(proof[64:]))
