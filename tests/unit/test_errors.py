import copy
import pickle
import re

import pytest

from parlour import errors
from parlour.errors import (
    CODES,
    Code,
    DecodeError,
    ExitCode,
    ParlourError,
    SecurityStop,
    error,
    error_from_wire,
)

KINDS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ParlourError)
]


def test_every_code_is_explained() -> None:
    assert set(CODES) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_explanation_is_whole(code: Code) -> None:
    explanation = CODES[code]
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code.value)
    assert len(code.value) <= 64  # as `wire.server.ErrorBody` carries them
    for text in (explanation.sentence, explanation.remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert 0 < len(text) <= 512


@pytest.mark.parametrize("code", Code)
def test_error_of_a_code(code: Code) -> None:
    raised = error(code, "somewhere")
    assert type(raised) is CODES[code].kind
    assert (raised.code, raised.detail) == (code, "somewhere")
    assert (raised.sentence, raised.remedy) == (CODES[code].sentence, CODES[code].remedy)
    assert str(raised) == f"{raised.sentence} [{code.value}] (somewhere)"
    assert str(error(code)) == f"{raised.sentence} [{code.value}]"
    again = error_from_wire(code.value)
    assert type(again) is CODES[again.code].kind
    assert again.code in (code, Code.SERVER_MISBEHAVED)


@pytest.mark.parametrize("code", Code)
def test_class_fits_the_code(code: Code) -> None:
    kind = CODES[code].kind.__name__
    expected = {"usage": "UsageError", "decode": "DecodeError", "limit": "LimitError"}
    assert kind == expected.get(code.value.partition(".")[0], kind)


def test_exit_codes_are_fixed() -> None:
    assert {kind.__name__: kind.exit_code.value for kind in KINDS} == {
        "ParlourError": 1,
        "UsageError": 2,
        "PeerError": 6,
        "DecodeError": 6,
        "AuthenticationError": 6,
        "AccessError": 3,
        "NotFoundError": 4,
        "ConflictError": 2,
        "LimitError": 7,
        "SecurityStop": 6,
        "StorageError": 1,
        "TransportError": 5,
        "InternalError": 1,
    }
    assert [code.value for code in ExitCode] == list(range(8))


def test_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(["ParlourError", *drawn]) == sorted(kind.__name__ for kind in KINDS)


@pytest.mark.parametrize("text", ["", "no.such_code", "INTERNAL_BUG", "a" * 1000, "\ud800"])
def test_unknown_code_is_the_servers_fault(text: str) -> None:
    raised = error_from_wire(text)
    assert raised.code is Code.SERVER_MISBEHAVED
    assert text == "" or text not in str(raised)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_copying(kind: type[ParlourError]) -> None:
    raised = kind(Code.CRYPTO_TAG, "detail")
    for again in (copy.copy(raised), pickle.loads(pickle.dumps(raised))):  # noqa: S301
        assert type(again) is kind
        assert str(again) == str(raised)


def test_peers_faults_are_caught_together() -> None:
    assert issubclass(DecodeError, errors.PeerError)
    assert not issubclass(SecurityStop, errors.PeerError)


@pytest.mark.parametrize(
    "code", [Code.ACCOUNT_KEY_CHANGED, Code.SERVER_PIN, Code.PREKEY_DOWNGRADE, Code.STORE_PASSWORD]
)
def test_a_server_cannot_claim_what_only_this_side_finds_out(code: Code) -> None:
    assert error_from_wire(code.value).code is Code.SERVER_MISBEHAVED
