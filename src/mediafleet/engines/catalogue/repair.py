"""What repairs recognized text, and where it is found."""

from __future__ import annotations

from mediafleet.engines.adapter import Adapter
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.offer import Offer, Role

RULES = Adapter(
    name="rules",
    role=Role.REPAIR,
    rank=0,
    scout=lambda _where: [Offer("rules", Role.REPAIR)],
    load="mediafleet.engines.adapters.rules:load",
    advise=lambda _need: "",
)
OPENAI_REPAIR = Adapter(
    name="openai-repair",
    role=Role.REPAIR,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.REPAIR, "openai-repair"),
    load="mediafleet.engines.adapters.openai_repairer:load",
    advise=lambda _need: advise_endpoint("/chat/completions"),
)
