"""`python -m parlour.testing.simulation`."""

import sys

from parlour.testing.simulation.command import main

sys.exit(main())
