"""Passive clients of our own: whole groups in the upstream form, for suites 1 to 7.

A client joins by a Welcome and follows; it has to agree with every epoch authenticator. The cases
have the fields of the upstream kinds `passive-client-*`.
"""

from __future__ import annotations

import itertools
from typing import Any

from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.proposals import GroupContextExtensions, Remove
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.types import ExtensionType, LeafIndex, WireFormat
from tools.vectors import mls_interop, mls_kinds
from tools.vectors.mls_scenario import Scenario, four_clients


def make_case(suite: CipherSuite, wire_format: WireFormat, *, tree_inside: bool) -> dict[str, Any]:
    """One case: every kind of proposal, by value and by reference, and an external commit."""
    scenario = Scenario(four_clients(suite), wire_format, tree_inside=tree_inside)
    scenario.commit(1, [])
    scenario.commit(0, [scenario.propose(1), scenario.propose(2, scenario.clients[2].psk())])
    scenario.commit(2, [], scenario.clients[2].psk(), path=False)
    scenario.join("dan")
    extension = Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x00\x00\x02\x00\x01")
    scenario.commit(1, [], GroupContextExtensions(Extensions.of([extension])))
    scenario.commit(0, [scenario.propose(1, Remove(LeafIndex(2)))])
    scenario.join("eve")
    scenario.commit(0, [scenario.propose(len(scenario.clients) - 1)])
    return scenario.case()


def make_welcomes() -> list[dict[str, Any]]:
    """Every way to be welcomed: with a path or without, with a key or without, with the tree."""
    ways = itertools.product((False, True), repeat=3)
    cases = []
    for number, (path, psk, tree_inside) in enumerate(ways):
        clients = four_clients(find_suite(1 + number % 7))
        scenario = Scenario(
            clients, WireFormat.PUBLIC_MESSAGE, tree_inside=tree_inside, path=path, psk=psk
        )
        cases.append(scenario.case())
    return cases


def make(_: Any) -> Any:
    """The content of `mls.json`."""
    return {
        "passive_client": [
            make_case(find_suite(suite), wire_format, tree_inside=wire_format == 1)
            for suite in range(1, 8)
            for wire_format in (WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE)
        ],
        "passive_client_welcome": make_welcomes(),
        "interop_passive": mls_interop.make_cases(),
        "kinds": mls_kinds.make_kinds(),
    }
