"""How a command tells the fleet that it started that it is not needed any more."""

from __future__ import annotations

import signal

DISMISSAL = signal.SIGUSR1
"""Sent to an `up` that lingers: whoever started it was interrupted, so it ends at once unless another client is there."""
DISMISS_WITHIN_S = 1.0
"""How long a dismissed fleet looks whether a client is there: the end of a connection may be seen after the signal."""
