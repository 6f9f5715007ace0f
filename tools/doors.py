"""Write docs/doors.md: who may do what at the server. `python -m tools.doors [--check]`.

The table stands here, is written to the page, and is tested cell by cell against a running server
(`tests/integration/server/test_door_table.py`). An operation without a row fails that test.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from parlour.errors import Code
from parlour.wire.kinds import OPERATIONS, Door, Kind

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "doors.md"
YES: Final = "yes"
OWN: Final = "own"


class Who(StrEnum):
    """Who comes to a door to get at something of Alice's."""

    NOBODY = "no token"
    FORGER = "made-up token"
    REVOKED = "revoked token"
    REMOVED = "removed device"
    FOREIGN = "foreign token"
    OPERATOR = "operator"
    MEMBER = "other member"
    OWNER = "Alice"


_BY_TOKEN: Final = {
    Who.NOBODY: Code.TOKEN_MISSING,
    Who.FORGER: Code.TOKEN_INVALID,
    Who.REVOKED: Code.TOKEN_REVOKED,
    Who.REMOVED: Code.DEVICE_REMOVED,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One operation at something of Alice's, and what a stranger and a member get of it."""

    kind: Kind
    target: str
    foreign: str
    member: str

    @property
    def name(self) -> str:
        """The row's name, unique in the table."""
        return f"{OPERATIONS[self.kind].name}: {self.target}" if self.target else self.operation

    @property
    def operation(self) -> str:
        """The operation's name."""
        return OPERATIONS[self.kind].name

    def expected(self, who: Who) -> str:
        """What the cell says."""
        if who in _BY_TOKEN:
            return _BY_TOKEN[who].value
        match who:
            case Who.OWNER:
                return YES
            case Who.MEMBER:
                return self.member
            case _:
                return self.foreign


def _row(kind: Kind, target: str, foreign: str | Code, member: str | Code | None = None) -> Row:
    return Row(kind, target, str(foreign), str(foreign if member is None else member))


DIRECT: Final = "a conversation"
INBOX: Final = "an inbox"
GROUP: Final = "a group of hers"
SELF: Final = "her own devices' stream"

TABLE: Final = (
    _row(Kind.SESSIONS, "", OWN),
    _row(Kind.REVOKE_SESSION, "her session", Code.USAGE_INVALID),
    _row(Kind.LOG_OUT, "", OWN),
    _row(Kind.LOG_OUT_EVERYWHERE, "", OWN),
    _row(Kind.READ_VAULT, "", OWN),
    _row(Kind.PASSWORD_START, "", OWN),
    _row(Kind.PASSWORD_FINISH, "her password", Code.CRYPTO_SIGNATURE),
    _row(Kind.LINK_TAKE, "her mailbox", Code.LINK_CONFLICT),
    _row(Kind.LINK_ANSWER, "her mailbox", Code.LINK_CONFLICT),
    _row(Kind.CREATE_INVITE, "", OWN),
    _row(Kind.INVITES, "", OWN),
    _row(Kind.REVOKE_INVITE, "her invite", Code.USAGE_INVALID),
    _row(Kind.LOOK_UP, "her name", YES),
    _row(Kind.READ_DEVICE_LIST, "her list", YES),
    _row(Kind.APPEND_DEVICE_LIST, "her list", Code.DEVICE_LIST_INVALID),
    _row(Kind.SET_PROFILE, "", OWN),
    _row(Kind.READ_PROFILE, "her profile", Code.PROFILE_UNKNOWN, YES),
    _row(Kind.PUBLISH_PREKEYS, "", OWN),
    _row(Kind.COUNT_PREKEYS, "", OWN),
    _row(Kind.FETCH_BUNDLES, "her device", YES),
    _row(Kind.READ_DEVICE_LISTS, "her list", YES),
    _row(Kind.READ_LIST_HEADS, "her list", YES),
    _row(Kind.PUBLISH_KEY_PACKAGES, "", OWN),
    _row(Kind.COUNT_KEY_PACKAGES, "", OWN),
    _row(Kind.FETCH_KEY_PACKAGES, "her device", YES),
    _row(Kind.CREATE_GROUP, "in her name", Code.GROUP_INVALID),
    _row(Kind.HANDSHAKE, GROUP, Code.STREAM_UNKNOWN, Code.GROUP_INVALID),
    _row(Kind.READ_GROUP, GROUP, Code.STREAM_UNKNOWN, YES),
    _row(Kind.RESTART_GROUP, GROUP, Code.STREAM_UNKNOWN, Code.GROUP_INVALID),
    _row(Kind.CREATE_CONVERSATION, "with her", YES),
    _row(Kind.CONVERSATIONS, "", OWN),
    _row(Kind.APPEND, DIRECT, Code.STREAM_UNKNOWN, YES),
    _row(Kind.APPEND, INBOX, Code.STREAM_FORBIDDEN, YES),
    _row(Kind.APPEND, GROUP, Code.STREAM_UNKNOWN, YES),
    _row(Kind.APPEND, SELF, Code.STREAM_UNKNOWN),
    _row(Kind.READ, DIRECT, Code.STREAM_UNKNOWN, YES),
    _row(Kind.READ, INBOX, Code.STREAM_UNKNOWN),
    _row(Kind.READ, GROUP, Code.STREAM_UNKNOWN, YES),
    _row(Kind.READ, SELF, Code.STREAM_UNKNOWN),
    _row(Kind.CATCH_UP, DIRECT, Code.STREAM_UNKNOWN, YES),
    _row(Kind.CATCH_UP, INBOX, Code.STREAM_UNKNOWN),
    _row(Kind.CATCH_UP, SELF, Code.STREAM_UNKNOWN),
    _row(Kind.ACKNOWLEDGE, DIRECT, Code.STREAM_UNKNOWN, YES),
    _row(Kind.ACKNOWLEDGE, INBOX, Code.STREAM_UNKNOWN),
    _row(Kind.ACKNOWLEDGE, SELF, Code.STREAM_UNKNOWN),
    _row(Kind.LIVE_START, DIRECT, Code.STREAM_UNKNOWN, YES),
    _row(Kind.LIVE_START, INBOX, Code.STREAM_UNKNOWN),
    _row(Kind.LIVE_START, SELF, Code.STREAM_UNKNOWN),
)

# What a stranger gets who speaks in Alice's name on the login socket, without what each needs.
STRANGER: Final[dict[Kind, tuple[str, str]]] = {
    Kind.REGISTER_START: ("a free name, and an invite", Code.ACCOUNT_EXISTS.value),
    Kind.REGISTER_FINISH: ("the start, on this connection", Code.USAGE_STATE.value),
    Kind.LOGIN_START: ("nothing", YES),
    Kind.LOGIN_FINISH: ("password and device key", Code.LOGIN_FAILED.value),
    Kind.RECOVER_START: ("nothing", YES),
    Kind.RECOVER_FINISH: ("the recovery key", Code.RECOVERY_FAILED.value),
    Kind.RESET_START: ("the recovery, on this connection", Code.USAGE_STATE.value),
    Kind.RESET_FINISH: (
        "the start, account key and device key, on this connection",
        Code.USAGE_STATE.value,
    ),
    Kind.JOIN_UNLOCK: ("a passphrase that may stand alone", Code.LOGIN_FAILED.value),
    Kind.JOIN_FINISH: ("the unlocking, on this connection", Code.USAGE_STATE.value),
    Kind.LINK_OFFER: ("the device's key, and the code that is shown", Code.LOGIN_BINDING.value),
    Kind.LINK_WAIT: ("the device's key, and the code that is shown", Code.LOGIN_BINDING.value),
}

_INTRODUCTION: Final = f"""\
# Who may do what

This page is made from `tools/doors.py` by `make docs`. Every cell of it is tested against a running
server.

Alice has an account on this server; Bea (*other member*) shares a conversation with her. Everybody
tries to get at something of Alice's. *Foreign token* is that of an account which has nothing to do
with her. The *operator* has no door of their own: whoever runs the server uses the same operations
with an account like any other, and otherwise the command line on the machine itself.

`{YES}`: it is done. `{OWN}`: it is done, but for the caller's own account; nothing of Alice's is
read or changed. Everything else is the code of the refusal. REST and the live socket ask the same
door-keeper, so one table holds for both. A session that ends, and a device that leaves the list,
loses its open sockets within a second.

## With a token

"""


def _tokens() -> Iterator[str]:
    yield "| operation | at | " + " | ".join(Who) + " |\n"
    yield "| --- | --- |" + " --- |" * len(Who) + "\n"
    for row in TABLE:
        cells = " | ".join(f"`{row.expected(who)}`" for who in Who)
        yield f"| `{row.operation}` | {row.target} | {cells} |\n"


def _login() -> Iterator[str]:
    yield "\n## Without a token\n\nThe login socket takes no token. REST serves none of these.\n\n"
    yield "| operation | needs | who comes without it |\n| --- | --- | --- |\n"
    for kind, (needs, outcome) in STRANGER.items():
        yield f"| `{OPERATIONS[kind].name}` | {needs} | `{outcome}` |\n"
    public = [each.name for each in OPERATIONS.values() if each.door is Door.PUBLIC]
    yield f"\nEverybody may ask who the server is, at every door: `{'`, `'.join(public)}`.\n"


def render() -> str:
    """The whole page."""
    return _INTRODUCTION + "".join(_tokens()) + "".join(_login())


def main() -> int:
    """Write the page, or with `--check` only say whether it is what would be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    text = render()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/doors.md is not what the table says: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
