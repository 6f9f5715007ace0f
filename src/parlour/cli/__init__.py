"""The command line.

Layout: `app` (the table of commands), `options` (what many commands take), `output` (text or JSON),
`failures` (the one place where errors end), `safe_text` (what strangers wrote, made harmless for a
terminal), `shown` (messages and events as text and as JSON), `qr`; one module for each command,
`chat/`, `doctor/` and `demo/` with more. Commands are imported when they are called.
"""

import sys


def main() -> None:
    """Run the command line with this process's arguments, and end the process."""
    from parlour.cli.app import run

    sys.exit(run(sys.argv[1:]))
