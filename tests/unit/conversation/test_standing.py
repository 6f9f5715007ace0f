import pytest

from parlour.conversation.standing import TRANSITIONS, Act, Standing, after
from parlour.errors import Code, ParlourError


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("act", Act)
def test_every_act_leads_somewhere_or_is_refused(standing: Standing, act: Act) -> None:
    try:
        following = after(standing, act)
    except ParlourError as problem:
        refused = problem.code
    else:
        assert following is TRANSITIONS.get((standing, act), standing)
        return
    blocked = standing is Standing.BLOCKED
    assert refused is (Code.CONTACT_BLOCKED if blocked else Code.USAGE_STATE)


def test_nothing_but_a_person_leads_out_of_a_block() -> None:
    ways_out = {act for standing, act in TRANSITIONS if standing is Standing.BLOCKED}
    assert ways_out == {Act.UNBLOCK}


def test_only_a_person_lets_somebody_be_heard() -> None:
    ways_in = {act for (_, act), to in TRANSITIONS.items() if to is Standing.ACCEPTED}
    assert ways_in == {Act.WRITE, Act.ACCEPT}
