"""How long an invite holds, as people write it."""

from __future__ import annotations

import re
from typing import Final

from parlour.errors import Code, UsageError

_LASTING: Final = re.compile(r"([0-9]{1,4})(d|w)?")
_DAYS: Final = {None: 1, "d": 1, "w": 7}


def days(text: str) -> int:
    """``7d``, ``2w`` or ``7`` as days; raises `UsageError`."""
    match = _LASTING.fullmatch(text.strip())
    if match is None:
        raise UsageError(Code.USAGE_INVALID, "--expires is a number of days or weeks: 7d, 2w")
    return int(match[1]) * _DAYS[match[2]]
