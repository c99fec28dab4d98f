"""Warns of critical sections that take too long, in few lines however many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Self

import structlog

if TYPE_CHECKING:
    from types import TracebackType

    from mediafleet.ops.settings import SlowSettings

log = structlog.get_logger(__name__)


@dataclass
class _Told:
    """What was said of a section, and kept back since."""

    at_s: float
    kept_back: int = 0


class SlowWatch:
    """Knows how long each section may take, and says so when one took longer: once in a while each."""

    def __init__(self, settings: SlowSettings, *, clock: Callable[[], float] = monotonic) -> None:
        """Begin with nothing said.

        Args:
            settings: The longest time of each section, and how often a line is written of one.
            clock: Seconds that only rise.
        """
        self._limits_s = limits_of(settings)
        self._every_s = settings.every_s
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def note(self, section: str, seconds: float, ids: Mapping[str, Any]) -> bool:
        """Note how long a section took; return whether that was too long. `ids` say what it was about."""
        limit = self._limits_s.get(section)
        if limit is None or seconds < limit:
            return False
        now, told = self._clock(), self._told.get(section)
        if told and now - told.at_s < self._every_s:
            told.kept_back += 1
            return True
        kept_back = told.kept_back if told else 0
        self._told[section] = _Told(now)
        log.warning(
            "a critical section was slow",
            section=section,
            took_ms=round(seconds * 1000, 1),
            limit_ms=round(limit * 1000),
            also_slow_since_the_last_line=kept_back,
            **ids,
        )
        return True


def limits_of(settings: SlowSettings) -> dict[str, float]:
    """Return the longest time of each section, seconds."""
    return {
        "script": settings.script_ms / 1000,
        "settle": settings.settle_ms / 1000,
        "place": settings.place_ms / 1000,
        "plan": settings.plan_ms / 1000,
        "loop": settings.loop_ms / 1000,
    }


class Timed:
    """Tells how long its block took, however that ended."""

    __slots__ = ("_ids", "_name", "_started", "_tell")

    def __init__(
        self, tell: Callable[[str, float, Mapping[str, Any]], None], name: str, ids: Mapping[str, Any]
    ) -> None:
        self._tell, self._name, self._ids = tell, name, ids
        self._started = 0.0

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(self._name, perf_counter() - self._started, self._ids)
