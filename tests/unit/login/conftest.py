import pytest

from parlour.login import OpaqueServer, Registration
from tests.unit.login.story import new_server, register


@pytest.fixture(scope="session")
def server() -> OpaqueServer:
    return new_server()


@pytest.fixture(scope="session")
def registered(server: OpaqueServer) -> tuple[Registration, bytes]:
    return register(server)


@pytest.fixture(scope="session")
def record(registered: tuple[Registration, bytes]) -> bytes:
    return registered[1]
