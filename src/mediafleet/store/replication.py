"""What a fail-over of the store could lose, asked of the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from mediafleet.store.connection import translate_errors
from mediafleet.store.sentinel import is_sentinel

if TYPE_CHECKING:
    from redis.asyncio import Redis

UNSAFE = (
    "min-replicas-to-write is 0: a primary that is cut off from its replicas goes on to accept jobs, and a fail-over "
    "forgets them; set it to 1 (and min-replicas-max-lag to a few seconds) on all servers"
)
NOT_TOLD = "the server does not tell its min-replicas-to-write; make sure that it is 1 or more"


async def find_risk(redis: Redis, url: str) -> str | None:
    """Return what to change where a fail-over could lose more than what is under way; None where nobody fails over.

    An empty text says that all is well. Raises StoreUnavailable.
    """
    client: Any = redis
    with translate_errors():
        if not is_sentinel(url) and not int((await client.info("replication")).get("connected_slaves", 0)):
            return None
        try:
            # Each server that may become the primary has a setting of its own; the one that leads now answers.
            found: dict[str, str] = await client.config_get("min-replicas-to-write")
        except ResponseError:
            return NOT_TOLD
    return "" if int(found.get("min-replicas-to-write", 0)) else UNSAFE
