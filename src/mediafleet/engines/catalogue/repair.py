"""What repairs recognized text, and where it is found."""

from __future__ import annotations

from mediafleet.engines.adapter import Adapter
from mediafleet.engines.offer import Offer, Role

RULES = Adapter(
    name="rules",
    role=Role.REPAIR,
    rank=0,
    scout=lambda _where: [Offer("rules", Role.REPAIR)],
    load="mediafleet.engines.adapters.rules:load",
    advise=lambda _need: "",
)
