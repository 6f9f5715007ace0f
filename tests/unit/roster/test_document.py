"""What docs/roster.md says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from parlour.roster import EXTENSION_TYPE, certificate, limits, roles

PAGE = (Path(__file__).parents[3] / "docs" / "roster.md").read_text(encoding="utf-8")


def test_rights_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (kind.name.lower(), right.value, role.name.lower(), reason)
        for kind, right, role, reason in roles.TABLE
    ]


def test_bounds_are_those_of_the_code() -> None:
    assert f"| {limits.MAX_ACCOUNTS:,} accounts |" in PAGE
    assert f"| {limits.MAX_LINKS} open links |" in PAGE
    assert f"| {limits.MAX_CHANNELS} channels |" in PAGE
    assert limits.MAX_LINK_LIFETIME_MS == 365 * limits.DAY_MS
    assert limits.MAX_CLOCK_SKEW_MS == limits.DAY_MS
    assert f"| {certificate.MAX_LIFETIME // 86_400} days for a certificate |" in PAGE
    assert limits.MAX_ENTRY_SIZE == limits.MAX_STATE_SIZE == 256 << 10
    assert f"`0x{EXTENSION_TYPE:X}`" in PAGE
    assert f"at most `{roles.HIGHEST_LINK_ROLE.name.lower()}`" in PAGE
