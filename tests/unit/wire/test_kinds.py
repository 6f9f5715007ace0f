from msgspec import Struct

from parlour.wire.kinds import OPERATIONS, PUSHES, Door, Kind

FIRST_PUSH = 0x80
FIRST_ANSWER = 0xC0


def test_every_kind_is_an_operation_a_push_or_an_answer() -> None:
    assert {kind for kind in Kind if kind < FIRST_PUSH} == set(OPERATIONS)
    assert {kind for kind in Kind if FIRST_PUSH <= kind < FIRST_ANSWER} == set(PUSHES)
    assert {kind for kind in Kind if kind >= FIRST_ANSWER} == {Kind.OK, Kind.ERROR}


def test_names_are_paths_and_unique() -> None:
    names = [operation.name for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in names)
    for kind, operation in OPERATIONS.items():
        expected = "server" if kind is Kind.SERVER_INFO else kind.name.lower().replace("_", "-")
        assert operation.name == expected


def test_only_the_login_and_the_servers_name_need_no_token() -> None:
    open_doors = {
        kind
        for kind, operation in OPERATIONS.items()
        if operation.door in {Door.PUBLIC, Door.LOGIN}
    }
    assert open_doors == {
        Kind.SERVER_INFO,
        Kind.REGISTER_START,
        Kind.REGISTER_FINISH,
        Kind.LOGIN_START,
        Kind.LOGIN_FINISH,
        Kind.RECOVER_START,
        Kind.RECOVER_FINISH,
        Kind.RESET_START,
        Kind.RESET_FINISH,
        Kind.LINK_OFFER,
        Kind.LINK_WAIT,
        Kind.JOIN_UNLOCK,
        Kind.JOIN_FINISH,
    }


def test_pushes_have_a_body_each() -> None:
    assert len(set(PUSHES.values())) == len(PUSHES)
    assert all(issubclass(body, Struct) for body in PUSHES.values())
