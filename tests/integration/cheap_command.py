"""``parlour``, whose new homes open cheaply; run by `running` for commands that make one."""

from __future__ import annotations

from parlour.cli import main
from tests.town import cheap_homes

with cheap_homes():
    main()
