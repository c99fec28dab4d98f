"""Lets `python -m mediafleet.cli` stand for the `mediafleet` command; embedded fleets are started so."""

from __future__ import annotations

import sys

from mediafleet.cli import main

sys.exit(main())
