"""Services that the operator named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.engines.offer import Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable


def scout_endpoints(where: Where, role: Role, adapter: str) -> Iterable[Offer]:
    """Yield an offer for each endpoint of a role; whether one answers is found out when it is asked."""
    for endpoint in where.endpoints:
        if endpoint.role is role:
            known = tuple(sorted(endpoint.languages))
            pairs = known if role is Role.TRANSLATE else ()
            languages = () if role is Role.TRANSLATE else known
            yield Offer(adapter, role, endpoint.address, endpoint.model, languages, pairs, endpoint)


def advise_endpoint(path: str) -> str:
    """Return what to do to have one."""
    return f"name an OpenAI-compatible endpoint that has {path}"
