"""The readable reference of how an executor is chosen; `place.lua` must agree with it.

Property tests hold the script to these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet


class Candidate(msgspec.Struct, frozen=True):
    """An executor of a pool that matches, as the policy sees it."""

    executor: str
    slots: int
    used: int

    @property
    def free(self) -> int:
        """Slots that are not held."""
        return self.slots - self.used


def choose_least_loaded(
    candidates: Sequence[Candidate], *, cost: int, excluded: AbstractSet[str] = frozenset()
) -> Candidate | None:
    """Return the executor that `least_loaded` takes, or None if none has room.

    The smallest share of used slots wins, then the name, so that the choice is the same everywhere.
    Executors where the task failed before are taken only if no other has room.
    """
    with_room = [candidate for candidate in candidates if candidate.free >= cost]
    fresh = [candidate for candidate in with_room if candidate.executor not in excluded]
    # By share and not by number: two of eight slots in use leave a machine more idle than one of two.
    return min(fresh or with_room, key=lambda c: (c.used / c.slots, c.executor), default=None)
