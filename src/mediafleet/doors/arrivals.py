"""What shows that a peer is there before a whole message of it has come: the bytes that arrive."""

from __future__ import annotations

ARRIVALS = "mediafleet.arrivals"
"""Extension of a connection's ASGI scope that holds its `Arrivals`."""


class Arrivals:
    """Bytes that have come over one connection; whoever reads them counts, whoever judges its silence looks."""

    def __init__(self) -> None:
        self.bytes = 0
