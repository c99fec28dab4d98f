"""Finds out that nobody could do a piece of work, before it is begun; pure.

Only for kinds that say what to do about it (`Kind.advise`): tasks of others wait until a node comes that can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.domain.capability import PERSON, find_lacking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediafleet.domain.capability import Signature
    from mediafleet.kinds import Kind


def explain_unoffered(kind: Kind, version: int, wanted: Iterable[str], pools: Iterable[Signature]) -> str:
    """Return what to do where no executor offers one of these capabilities, as a sentence; "" where all are offered.

    Args:
        kind: Whose tasks ask for them.
        version: Of the job.
        wanted: Capabilities.
        pools: Of all executors that are here, or were a short while ago.
    """
    if kind.advise is None:
        return ""
    own = kind.capability_of(version)
    offered = {capability for pool in pools if own in pool.capabilities for capability in pool.capabilities}
    # Where no node runs the kind at all, they may just be starting. A person is none, and need not be there yet.
    lacking = find_lacking(wanted, {*offered, PERSON}) if offered else []
    return kind.advise(lacking[0]) if lacking else ""
