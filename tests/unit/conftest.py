"""What all unit tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does; no test judges time.
settings.register_profile("mediafleet", deadline=None)
settings.load_profile("mediafleet")
