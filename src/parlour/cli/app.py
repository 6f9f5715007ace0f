"""The table of commands. Each is imported when it is called."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any, Final

from cyclopts import App, CycloptsError, Group

from parlour import __version__
from parlour.cli.failures import guarded, show
from parlour.cli.safe_text import is_text
from parlour.errors import Code, ExitCode, UsageError

_TALK: Final = Group("Talk", sort_key=1)
_ACCOUNT: Final = Group("Your account", sort_key=2)
_DEVICES: Final = Group("Your devices", sort_key=3)
_SERVER: Final = Group("Your server", sort_key=4)
_HELP: Final = Group("Help", sort_key=5)

# Name, where it is, its group, what it does.
COMMANDS: Final[tuple[tuple[str, str, Group, str], ...]] = (
    ("chat", "chat.command:chat", _TALK, "Talk with somebody, live."),
    ("send", "send:send", _TALK, "Send one message."),
    ("inbox", "inbox:inbox", _TALK, "Show new messages, each one once."),
    ("history", "history:history", _TALK, "Show the last messages with somebody."),
    ("contacts", "contacts:contacts", _TALK, "List the people you know."),
    ("group", "group.commands:group", _TALK, "Talk among several: found groups, invite, leave."),
    ("requests", "requests:requests", _TALK, "Say yes or no to strangers who have written."),
    ("block", "block:block", _TALK, "Hear nothing more of somebody."),
    ("unblock", "block:unblock", _TALK, "Let somebody ask again."),
    ("forget", "block:forget", _TALK, "Delete somebody, and what was said."),
    ("verify", "verify:verify", _TALK, "Compare a safety number, or accept a changed key."),
    ("register", "register:register", _ACCOUNT, "Make an account with an invite."),
    ("invite", "invite:invite", _ACCOUNT, "Invite somebody to your server."),
    ("login", "login:login", _ACCOUNT, "Log in again."),
    ("logout", "logout:logout", _ACCOUNT, "End this login, or all of them."),
    ("password", "password:password", _ACCOUNT, "Change your password."),
    ("recover", "recover:recover", _ACCOUNT, "Get your account back with the recovery key."),
    ("recovery", "recovery:recovery", _ACCOUNT, "Try your recovery key, or make a new one."),
    ("link", "link:link", _DEVICES, "Take a new device into your account."),
    ("join", "join:join", _DEVICES, "Make this a device of your account."),
    ("devices", "devices:devices", _DEVICES, "List, rename or remove your devices."),
    ("lost-device", "lost_device:lost_device", _DEVICES, "A device is lost: shut it out."),
    ("sessions", "sessions:sessions", _DEVICES, "List logins, or end one."),
    ("profile", "profile:profile", _ACCOUNT, "Show profiles, or change yours."),
    ("settings", "settings:settings", _ACCOUNT, "What is the same on all your devices."),
    ("backup", "backup:backup", _ACCOUNT, "Export or import an encrypted backup."),
    ("policy", "policy:policy", _HELP, "Show what presets mean, in words; choose one."),
    ("serve", "serve:serve", _SERVER, "Run a server."),
    ("admin", "admin:admin", _SERVER, "Invite people to your server."),
    ("doctor", "doctor.command:doctor", _HELP, "Check everything, and say what to do."),
    ("counters", "counters:counters", _HELP, "Count what happened in groups, without content."),
    ("demo", "demo.command:demo", _HELP, "Watch a server and people who talk."),
)

_HELP_TEXT: Final = "Private rooms that you host yourself. Messages are end-to-end encrypted."


def make_app(chosen: str = "") -> App:
    """The application, with no command imported yet.

    The line about a command stands here, so that listing all of them imports none. The one that
    was `chosen` tells of itself at more length.
    """
    app = App(
        name="parlour",
        group=_HELP,
        help=_HELP_TEXT,
        version=__version__,
        # Reading Markdown takes a while to load; the list of commands needs none of it.
        help_format="markdown" if chosen else "plaintext",
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for place, (name, where, group, text) in enumerate(COMMANDS):
        line = None if name == chosen else text
        app.command(f"parlour.cli.{where}", name=name, group=group, help=line, sort_key=place)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; return the exit code of the process."""
    _speak_utf8()
    json = "--json" in arguments
    return guarded(lambda: _call(arguments, json=json), json=json)


def _call(arguments: Sequence[str], *, json: bool) -> int:
    if not all(is_text(argument) for argument in arguments):
        show(UsageError(Code.USAGE_INVALID, "an argument is not text in UTF-8"), json=json)
        return int(ExitCode.USAGE)
    app = make_app(_chosen(arguments))
    try:
        # Parsed apart from the call, so that only the parser's errors are the caller's.
        function, bound, _ = app.parse_args(list(arguments), print_error=False, exit_on_error=False)
    except CycloptsError as failure:
        show(UsageError(Code.USAGE_INVALID, _first_line(str(failure))), json=json)
        return int(ExitCode.USAGE)
    result: Any = function(*bound.args, **bound.kwargs)
    if inspect.iscoroutine(result):
        import asyncio

        result = asyncio.run(result)
    return int(result) if isinstance(result, int) else int(ExitCode.FINE)


def _chosen(arguments: Sequence[str]) -> str:
    return arguments[0] if arguments and not arguments[0].startswith("-") else ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")


def _speak_utf8() -> None:
    """Where the locale knows ASCII only, say what can't be said as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
