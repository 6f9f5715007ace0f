"""The adapter's client with the reference's server, and the other way round."""

from dataclasses import dataclass, field

import pytest

from parlour.errors import AccessError, Code
from parlour.login import (
    ClientLogin,
    ClientRegistration,
    LoginContext,
    OpaqueServer,
    Stretched,
    generate_setup,
)
from parlour.login.binding import bind, transcript_hash
from parlour.login.keys import OpaqueKey
from parlour.primitives.random import system_random

pytest.importorskip(
    "rbcl", reason="rbcl (ristretto255 for the reference) can not be loaded", exc_type=ImportError
)

from tests.interop.opaque_reference.client import ReferenceClient
from tests.interop.opaque_reference.envelope import library_stretch
from tests.interop.opaque_reference.group import Scalar, decode_element, reduce
from tests.interop.opaque_reference.oprf import blind, evaluate, finalize
from tests.interop.opaque_reference.server import ReferenceServer

NOW = 1_800_000_000
CONTEXT = LoginContext("example.org", "anna", b"d" * 16, b"p" * 32)
PASSWORD = Stretched(b"right password, 32 bytes of it..")
WRONG = Stretched(b"wrong password, 32 bytes of it..")


def reference_client(password: Stretched) -> ReferenceClient:
    return ReferenceClient(password.reveal().hex().encode(), library_stretch, system_random)


@dataclass
class Servers:
    """Ours and the reference's, with the same secrets."""

    setup: bytes = field(default_factory=lambda: generate_setup(system_random))

    @property
    def ours(self) -> OpaqueServer:
        return OpaqueServer(self.setup, b"k" * 32)

    @property
    def reference(self) -> ReferenceServer:
        return ReferenceServer(self.setup[:64], Scalar(self.setup[64:96]), system_random)


@pytest.fixture(scope="module")
def servers() -> Servers:
    return Servers()


def register_with_reference_client(servers: Servers) -> tuple[bytes, bytes]:
    """The record and the export key."""
    client, server = reference_client(PASSWORD), servers.ours
    registered = client.finish_registration(server.register(client.start_registration(), "anna"))
    return server.finish_registration(registered.upload), registered.export_key


def test_the_references_client_registers_and_logs_in_at_our_server(servers: Servers) -> None:
    record, export_key = register_with_reference_client(servers)
    client, server = reference_client(PASSWORD), servers.ours
    ke1 = client.start_login()
    ke2, attempt = server.begin(ke1, "anna", record, now=NOW)
    logged_in = client.finish_login(ke2)
    bound = bind(
        OpaqueKey(logged_in.session_key),
        context=CONTEXT,
        transcript=transcript_hash(ke1, ke2, logged_in.ke3),
    )
    accepted = server.finish(attempt, logged_in.ke3, bound.client_tag, CONTEXT, now=NOW)
    assert accepted.session_key == bound.session_key
    assert accepted.confirmation == bound.server_tag
    assert logged_in.export_key == export_key


def test_our_client_registers_and_logs_in_at_the_references_server(servers: Servers) -> None:
    server = servers.reference
    registration, request = ClientRegistration.start(PASSWORD)
    registered = registration.finish(server.register(request, b"anna"))
    login, ke1 = ClientLogin.start(PASSWORD)
    ke2 = server.respond(ke1, b"anna", registered.upload)
    proof = login.finish(ke2, context=CONTEXT)
    bound = bind(
        OpaqueKey(server.finish(proof.ke3)),
        context=CONTEXT,
        transcript=transcript_hash(ke1, ke2, proof.ke3),
    )
    assert proof.binding == bound.client_tag
    assert proof.session_key == bound.session_key
    proof.confirm(bound.server_tag)
    assert proof.export_key == registered.export_key


def test_both_clients_and_both_servers_are_interchangeable(servers: Servers) -> None:
    record, export_key = register_with_reference_client(servers)
    login, ke1 = ClientLogin.start(PASSWORD)
    ke2 = servers.reference.respond(ke1, b"anna", record[1:])
    assert login.finish(ke2, context=CONTEXT).export_key.reveal() == export_key
    _, request = ClientRegistration.start(PASSWORD)
    assert servers.ours.register(request, "anna") == servers.reference.register(request, b"anna")


def test_both_clients_refuse_the_wrong_password(servers: Servers) -> None:
    record, _ = register_with_reference_client(servers)
    theirs, (ours, ke1) = reference_client(WRONG), ClientLogin.start(WRONG)
    ke2, _ = servers.ours.begin(theirs.start_login(), "anna", record, now=NOW)
    with pytest.raises(ValueError, match=r"EnvelopeRecoveryError|not an element"):
        theirs.finish_login(ke2)
    with pytest.raises(AccessError):
        ours.finish(servers.reference.respond(ke1, b"anna", record[1:]), context=CONTEXT)


def test_the_references_client_is_refused_by_a_decoy(servers: Servers) -> None:
    client = reference_client(PASSWORD)
    ke2, attempt = servers.ours.begin(client.start_login(), "anna", None, now=NOW)
    with pytest.raises(ValueError, match=r"EnvelopeRecoveryError|not an element"):
        client.finish_login(ke2)
    with pytest.raises(AccessError) as caught:
        servers.ours.finish(attempt, bytes(64), bytes(32), CONTEXT, now=NOW)
    assert caught.value.code is Code.LOGIN_FAILED


def test_both_servers_refuse_a_false_ke3(servers: Servers) -> None:
    record, _ = register_with_reference_client(servers)
    client, server = reference_client(PASSWORD), servers.reference
    logged_in = client.finish_login(server.respond(client.start_login(), b"anna", record[1:]))
    false = bytes((logged_in.ke3[0] ^ 1,)) + logged_in.ke3[1:]
    with pytest.raises(ValueError, match="ClientAuthenticationError"):
        server.finish(false)
    assert server.finish(logged_in.ke3) == logged_in.session_key


def test_a_changed_server_mac_is_refused(servers: Servers) -> None:
    record, _ = register_with_reference_client(servers)
    client = reference_client(PASSWORD)
    ke2 = servers.reference.respond(client.start_login(), b"anna", record[1:])
    with pytest.raises(ValueError, match="ServerAuthenticationError"):
        client.finish_login(ke2[:-1] + bytes((ke2[-1] ^ 1,)))


@pytest.mark.parametrize("data", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_what_is_no_element_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an element"):
        decode_element(data)


def test_the_oprf_is_oblivious_and_its_value_is_the_rfcs() -> None:
    # RFC 9497, A.1.1.1, first test vector: these values stand in its text.
    key = Scalar(bytes.fromhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"))
    rfc = bytes.fromhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706")
    expected = bytes.fromhex(
        "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3"
        "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6"
    )
    for blinding in (Scalar(rfc), reduce(system_random(64))):
        evaluated = evaluate(key, blind(b"\x00", blinding))
        assert finalize(b"\x00", blinding, evaluated) == expected
