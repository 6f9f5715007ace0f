"""Beginnings of groups that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.mls import Group
from parlour.mls.public.extensions import Extension, Extensions
from parlour.roster import (
    EXTENSION_TYPE,
    Kind,
)
from parlour.server.groups.tracked import mls_group_id
from tests.served_groups import (
    POLICY,
    Device,
    Room,
    Services,
    unique,
)
from tests.unit.server.groups.refusals import dump, invalid

FOUNDINGS: dict[str, tuple[Callable[[Room, Device, Device], Any], str]] = {
    "another kind": (
        lambda room, ada, eve: room.creation(ada, kind="family"),
        "a genesis of another kind",
    ),
    "an inbox": (
        lambda room, ada, eve: room.creation(ada, kind="inbox"),
        "a genesis of another kind",
    ),
    "another stream": (
        lambda room, ada, eve: room.creation(ada, stream=unique()),
        "a genesis of another stream",
    ),
    "another tree": (
        lambda room, ada, eve: room.creation(ada, tree=room.beginning(eve, room.roster, 0).tree()),
        "V1259 tree_hash",
    ),
    "another generation": (
        lambda room, ada, eve: room.creation(
            ada, group_info=room.beginning(ada, room.roster, 1).group_info(ratchet_tree=False)
        ),
        "the MLS group of another stream or generation",
    ),
    "another device's leaf": (
        lambda room, ada, eve: room.creation(
            ada,
            group_info=(group := room.beginning(eve, room.roster, 0)).group_info(
                ratchet_tree=False
            ),
            tree=group.tree(),
        ),
        "V0501 credential_accepted",
    ),
    "a tree inside": (
        lambda room, ada, eve: room.creation(ada, group_info=ada.live.group_info()),
        "a GroupInfo with the tree in it",
    ),
    "nothing for newcomers": (
        lambda room, ada, eve: room.creation(
            ada, group_info=ada.live.group_info(ratchet_tree=False, external_pub=False)
        ),
        "a GroupInfo without external_pub",
    ),
}


@pytest.mark.parametrize("name", FOUNDINGS)
async def test_a_founding_that_does_not_fit(services: Services, name: str) -> None:
    make, detail = FOUNDINGS[name]
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP)
    request = make(room, ada, eve)
    before = dump(services)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, request)
    assert refusal.value.code == invalid
    assert detail in refusal.value.detail
    assert dump(services) == before


async def test_a_founding_by_another(services: Services) -> None:
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(eve.grant, room.creation(ada))
    assert "a genesis of another device" in refusal.value.detail


async def test_a_founding_with_others(services: Services) -> None:
    ada, eve = await services.devices("ada", "eve")
    room = Room.planned(services, ada, Kind.GROUP, eve)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert "others than its creator" in refusal.value.detail


async def test_a_founding_in_a_later_epoch(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.GROUP)
    ada.live.merge(ada.live.commit(services.now // 1000), services.now // 1000)
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert "a beginning in a later epoch" in refusal.value.detail


async def test_a_founding_without_a_roster(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.GROUP)
    for extensions in ((), (Extension(EXTENSION_TYPE, room.roster.binding.encode()),)):
        ada.group = Group.create(
            ada.identity,
            mls_group_id(room.stream, 0),
            services.now // 1000,
            policy=POLICY,
            extensions=Extensions.of(extensions),
        )
        with pytest.raises(ParlourError) as refusal:
            await services.groups.create(ada.grant, room.creation(ada))
        assert "other extensions of a group" in refusal.value.detail


async def test_beginnings_under_another_account_key(services: Services) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada)
    restart = room.restart(ada)[0]
    planned = Room.planned(services, ada, Kind.FAMILY)
    await services.show_another_key(ada)
    for beginning in (
        services.groups.create(ada.grant, planned.creation(ada)),
        services.groups.restart(ada.grant, restart),
    ):
        with pytest.raises(ParlourError) as refusal:
            await beginning
        assert refusal.value.code == Code.GROUP_INVALID
        assert "another key than it came in under" in refusal.value.detail


async def test_a_direct_conversation_outlives_an_account_key(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = Room.planned(services, ada, Kind.DIRECT, bea)
    await services.groups.create(ada.grant, room.creation(ada))
    await services.show_another_key(bea)
    await room.add(ada, bea)
    await room.say(bea)


async def test_a_direct_conversation_with_nobody(services: Services) -> None:
    ada = await services.device("ada")
    room = Room.planned(services, ada, Kind.DIRECT, Device("nobody"))
    with pytest.raises(ParlourError) as refusal:
        await services.groups.create(ada.grant, room.creation(ada))
    assert refusal.value.code == Code.ACCOUNT_UNKNOWN
