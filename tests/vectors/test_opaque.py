"""RFC 9807, appendix C: OPAQUE-3DH over ristretto255, by the reference of the interop tests.

The library behind `parlour.login` draws its own randomness, so no vector can be played to it; the
interop tests show that it and this reference speak the same protocol.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import load_vector

pytest.importorskip(
    "rbcl", reason="rbcl (ristretto255 for the reference) can not be loaded", exc_type=ImportError
)

from tests.interop.opaque_reference.client import ReferenceClient
from tests.interop.opaque_reference.envelope import Names, identity_stretch
from tests.interop.opaque_reference.group import Scalar, multiply_generator
from tests.interop.opaque_reference.server import ReferenceServer

CASES = [
    case for case in load_vector("opaque/vectors.json") if case["config"]["Group"] == "ristretto255"
]
REAL = [case for case in CASES if case["config"]["Fake"] == "False"]
FAKE = [case for case in CASES if case["config"]["Fake"] == "True"]


class Case:
    """One case of the file; its values as bytes, and its randomness played back in order."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._values = case["inputs"] | case["outputs"]
        self.context = bytes.fromhex(case["config"]["Context"])
        client, server = self._values.get("client_identity"), self._values.get("server_identity")
        self.names = Names(client and bytes.fromhex(client), server and bytes.fromhex(server))

    def __getitem__(self, name: str) -> bytes:
        return bytes.fromhex(self._values[name])

    def random(self, *names: str) -> Callable[[int], bytes]:
        values = [self[name] for name in names]

        def draw(size: int) -> bytes:
            # A blinding is a scalar already; it reduces to itself.
            value = values.pop(0)
            return value.ljust(size, b"\x00")

        return draw

    def client(self, *random: str) -> ReferenceClient:
        return ReferenceClient(
            self["password"], identity_stretch, self.random(*random), self.names, self.context
        )

    def server(self) -> ReferenceServer:
        random = self.random("masking_nonce", "server_nonce", "server_keyshare_seed")
        key = Scalar(self["server_private_key"])
        return ReferenceServer(self["oprf_seed"], key, random, self.names, self.context)


def test_the_file_holds_the_cases_that_we_expect() -> None:
    assert (len(REAL), len(FAKE)) == (2, 1)


@pytest.mark.parametrize("raw", REAL, ids=["without identities", "with identities"])
def test_registration(raw: dict[str, Any]) -> None:
    case = Case(raw)
    client, server = case.client("blind_registration", "envelope_nonce"), case.server()
    request = client.start_registration()
    assert request == case["registration_request"]
    response = server.register(request, case["credential_identifier"])
    assert response == case["registration_response"]
    registered = client.finish_registration(response)
    assert registered.upload == case["registration_upload"]
    assert registered.export_key == case["export_key"]


@pytest.mark.parametrize("raw", REAL, ids=["without identities", "with identities"])
def test_login(raw: dict[str, Any]) -> None:
    case = Case(raw)
    client = case.client("blind_login", "client_nonce", "client_keyshare_seed")
    server = case.server()
    ke1 = client.start_login()
    assert ke1 == case["KE1"]
    ke2 = server.respond(ke1, case["credential_identifier"], case["registration_upload"])
    assert ke2 == case["KE2"]
    logged_in = client.finish_login(ke2)
    assert logged_in.ke3 == case["KE3"]
    assert logged_in.export_key == case["export_key"]
    assert logged_in.session_key == server.finish(logged_in.ke3) == case["session_key"]


@pytest.mark.parametrize("raw", FAKE)
def test_the_answer_to_an_unknown_user(raw: dict[str, Any]) -> None:
    case = Case(raw)
    assert multiply_generator(Scalar(case["server_private_key"])) == case["server_public_key"]
    fake = case["client_public_key"] + case["masking_key"] + bytes(96)
    answer = case.server().respond(case["KE1"], case["credential_identifier"], fake)
    assert answer == case["KE2"]
