"""What speaks, and where it is found."""

from __future__ import annotations

from mediafleet.engines.adapter import Adapter
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.offer import Role

OPENAI_SYNTHESIZE = Adapter(
    name="openai-synthesize",
    role=Role.SYNTHESIZE,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.SYNTHESIZE, "openai-synthesize"),
    load="mediafleet.engines.adapters.openai_synthesizer:load",
    advise=lambda _need: advise_endpoint("/audio/speech"),
)
