"""Reads how fast work of each sort went; never writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediafleet.domain.pace import Paces, field_of
from mediafleet.domain.pace import read_paces as parse_paces
from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from collections.abc import Collection

    from mediafleet.store.keys import Keys


async def read_paces(redis: Any, keys: Keys, wanted: Collection[tuple[str, str]]) -> Paces:
    """Return what is known of these paces on these nodes, and of the same paces anywhere; asks nothing for none."""
    named = {(pace, node) for pace, node in wanted if pace}
    places = sorted(named | {(pace, "") for pace, _ in named})
    if not places:
        return Paces()
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hmget(keys.paces, [field_of(*place) for place in places])
        (seconds, _), texts = await pipeline.execute()
    found = ((place, text.decode()) for place, text in zip(places, texts, strict=True) if text)
    return parse_paces(found, now_ms=seconds * 1000)
