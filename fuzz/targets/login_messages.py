"""Login: every message of registration and login, the stored record, the scanned safety number.

The first byte chooses who reads the rest. Each reader gives a value or a `ParlourError`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random as Seeded
from typing import Final

from parlour.errors import ParlourError
from parlour.login import (
    ClientLogin,
    ClientRegistration,
    LoginContext,
    OpaqueServer,
    Stretched,
    generate_setup,
    stretch,
)
from parlour.primitives.kdf import Argon2Cost
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.transparency import Party, compare, safety_number

NOW: Final = 1_800_000_000
_PASSWORD: Final = Stretched(bytes(32))
_CONTEXT: Final = LoginContext("example.org", "anna", bytes(16), bytes(32))
_SERVER: Final = OpaqueServer(generate_setup(Seeded(1).randbytes), bytes(32))
_ANNA, _BEA = (
    Party(bytes((number,)) * 16, Ed25519PrivateKey(bytes((number,)) * 32).public_key)
    for number in (1, 2)
)
_NUMBER: Final = safety_number(_ANNA, _BEA)
_CHEAP: Final = Argon2Cost(memory_kib=8, passes=1)

_registration, _REQUEST = ClientRegistration.start(_PASSWORD)
_RESPONSE: Final = _SERVER.register(_REQUEST, "anna")
_UPLOAD: Final = _registration.finish(_RESPONSE).upload
_RECORD: Final = _SERVER.finish_registration(_UPLOAD)
_login, _KE1 = ClientLogin.start(_PASSWORD)
_KE2: Final = _SERVER.begin(_KE1, "anna", _RECORD, now=NOW)[0]
_PROOF: Final = _login.finish(_KE2, context=_CONTEXT)


def _register(data: bytes) -> object:
    return _SERVER.register(data, "anna")


def _begin(data: bytes) -> object:
    return _SERVER.begin(data, "anna", _RECORD, now=NOW)


def _record(data: bytes) -> object:
    return _SERVER.begin(_KE1, "anna", data, now=NOW)


def _response(data: bytes) -> object:
    return ClientRegistration.start(_PASSWORD)[0].finish(data)


def _ke2(data: bytes) -> object:
    return ClientLogin.start(_PASSWORD)[0].finish(data, context=_CONTEXT)


def _finish(data: bytes) -> object:
    _, attempt = _SERVER.begin(_KE1, "anna", _RECORD, now=NOW)
    return _SERVER.finish(attempt, data[:-32], data[-32:], _CONTEXT, now=NOW)


def _confirmation(data: bytes) -> None:
    _PROOF.confirm(data)


def _safety_number(data: bytes) -> None:
    compare(data, _NUMBER)


def _names(data: bytes) -> object:
    user, _, password = data.decode(errors="surrogateescape").partition("\0")
    return stretch(password, server="example.org", user=user, cost=_CHEAP)


READERS: Final[list[Callable[[bytes], object]]] = [
    _register,
    _SERVER.finish_registration,
    _begin,
    _record,
    _finish,
    _response,
    _ke2,
    _confirmation,
    _safety_number,
    _names,
]

_VALID: Final = [
    _REQUEST,
    _UPLOAD,
    _KE1,
    _RECORD,
    _PROOF.ke3 + _PROOF.binding,
    _RESPONSE,
    _KE2,
    bytes(32),
    safety_number(_BEA, _ANNA).scannable(),
    "anna\0café 42".encode(),
]

SEEDS: Final = [bytes((index,)) + data for index, data in enumerate(_VALID)]


def target(data: bytes) -> None:
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except ParlourError:
        return
