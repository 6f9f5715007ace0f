from pathlib import Path

import pytest

from tests.integration.client.fakes import Identity, make_identity


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="session")
def identity(certificates: Path) -> Identity:
    return make_identity(certificates, "server")


@pytest.fixture(scope="session")
def impostor(certificates: Path) -> Identity:
    return make_identity(certificates, "impostor")
