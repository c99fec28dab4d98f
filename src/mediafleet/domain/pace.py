"""Paces: how fast work of one sort goes, as measured on nodes; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec

from mediafleet.domain.errors import InvalidRequest

KEPT_MS = 30 * 24 * 3600 * 1000
"""After so long a measurement says nothing any more."""
LARGEST_SIZE = 1e15
_PATTERN = r"^[a-z0-9:._-]{1,80}\Z"
_is_pace = re.compile(_PATTERN).match


class Did(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a node took for a task that names its pace."""

    # It becomes the name of a field.
    pace: Annotated[str, msgspec.Meta(pattern=_PATTERN)]
    size: Annotated[float, msgspec.Meta(ge=0, le=LARGEST_SIZE)] = 0.0
    took_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class Measured(NamedTuple):
    """What was measured of one pace, what is older counting less."""

    size: float
    took_ms: float
    tasks: float

    def duration_ms(self, size: float) -> float | None:
        """Return how long so much work takes, or a task of unknown size; None where that does not follow."""
        if size > 0 and self.size > 0:
            return self.took_ms * size / self.size
        if size <= 0 and self.tasks > 0:
            return self.took_ms / self.tasks
        return None


def check_pace(pace: str, size: float, task: str) -> None:
    """Check what a plan says of its task. Raises InvalidRequest."""
    if pace and not _is_pace(pace):
        raise InvalidRequest(
            f"The task {task!r} has the pace {pace[:100]!r}: use 1 to 80 of a-z, 0-9, ':', '.', '_' and '-'."
        )
    if not 0 <= size <= LARGEST_SIZE:
        raise InvalidRequest(f"The task {task!r} has the size {size}, which cannot be.")


class Paces:
    """What is known of paces, by pace and node; of all nodes together under the empty node."""

    def __init__(self, measured: Mapping[tuple[str, str], Measured] | None = None) -> None:
        """Keep the measurements as they are."""
        self._measured = dict(measured or {})

    def on_node(self, pace: str, size: float, node: str) -> float | None:
        """Return how long so much work takes on a node, milliseconds; where nothing is known of the node, anywhere."""
        for place in (node, ""):
            known = self._measured.get((pace, place))
            duration = known.duration_ms(size) if known else None
            if duration is not None:
                return duration
        return None

    def on_any(self, pace: str, size: float, nodes: Iterable[str]) -> float | None:
        """Return how long so much work takes on one of these nodes: as if each were equally often the one."""
        known = [duration for node in nodes if (duration := self.on_node(pace, size, node)) is not None]
        if not known:
            return self.on_node(pace, size, "")
        # Nodes that take no time at all would make it none, whatever the others take.
        return len(known) / math.fsum(1 / max(duration, 1e-3) for duration in known)


def field_of(pace: str, node: str) -> str:
    """Return what the store calls the measurements of a pace on a node."""
    return f"{pace}|{node}"


def read_paces(found: Iterable[tuple[tuple[str, str], str]], *, now_ms: int) -> Paces:
    """Return what the store keeps, `<size>|<milliseconds>|<tasks>|<when>` each, without what is too old."""
    return Paces(dict(_recent(found, now_ms)))


def _recent(found: Iterable[tuple[tuple[str, str], str]], now_ms: int) -> Iterator[tuple[tuple[str, str], Measured]]:
    for place, text in found:
        size, took_ms, tasks, at_ms = map(float, text.split("|"))
        if now_ms - at_ms <= KEPT_MS:
            yield place, Measured(size, took_ms, tasks)
