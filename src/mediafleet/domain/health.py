"""How well nodes and executors are: limits of load, and capabilities that are withheld for a while; pure.

What follows from it is index membership, never a test per placement: see docs/decisions/0010.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import check_capabilities
from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediafleet.domain.node import Executor

RESOURCES = ("cpu", "memory", "disk", "gpu")
"""What of a machine is looked at; names in `load`, shares 0..1 in use."""
SLACK = 0.05
"""A node takes work again only when it is this far below its limit, so that it does not come and go."""
_PLENTY = {"memory": ("memory_free_gb", 8.0), "disk": ("disk_free_gb", 50.0)}
"""So much free is enough whatever share it is, unless the node named a limit of its own."""
_LIMIT = re.compile(r"(?P<name>[a-z]+):(?P<percent>\d{1,3})")
_MOST_PERCENT = 100


def parse_headroom(lines: Iterable[str]) -> dict[str, int]:
    """Return what `disk:10` says: per cent of a resource that must be free for new work; 0 to look away.

    Raises:
        InvalidRequest: One has another form, names no resource, or is above 100.
    """
    found: dict[str, int] = {}
    for line in lines:
        match = _LIMIT.fullmatch(line)
        if not match or match["name"] not in RESOURCES or int(match["percent"]) > _MOST_PERCENT:
            raise InvalidRequest(
                f"{line!r} is no headroom; write {', '.join(RESOURCES)}, a colon and per cent, as disk:10."
            )
        found[match["name"]] = int(match["percent"])
    return found


class Pressure(msgspec.Struct, frozen=True):
    """What a node's load means."""

    reason: str = ""
    """What is over its limit, in words; empty where nothing is."""
    is_eased: bool = True
    """Everything is far enough below its limits. Neither this nor a reason: all stays as it was."""


def judge_load(load: Mapping[str, float], own: Mapping[str, int], *, headroom: int) -> Pressure:
    """Return whether a node has room for new work.

    Args:
        load: Shares in use by name, as the heartbeat has them, and `…_free_gb`.
        own: Per cent that the node itself says must be free, by resource.
        headroom: Per cent of each resource that the fleet says must be free; 0 to look away.
    """
    over: list[str] = []
    is_eased = True
    for name in RESOURCES:
        percent = own.get(name, headroom)
        used = foreign_share(load, name)
        if not percent or used is None or (name not in own and _has_plenty(load, name)):
            continue
        limit = 1 - percent / 100
        if used > limit:
            over.append(f"{name} {used:.0%} in use, {limit:.0%} at most")
        is_eased = is_eased and used <= limit - SLACK
    return Pressure("; ".join(over), is_eased and not over)


def foreign_share(load: Mapping[str, float], name: str) -> float | None:
    """Return the share of a resource that keeps new work away; None where it is not known."""
    used = load.get(name)
    # What the node's own tasks take of the processor is what slots are for.
    return None if used is None else max(0.0, used - load.get(f"{name}_own", 0.0))


def _has_plenty(load: Mapping[str, float], name: str) -> bool:
    field, enough = _PLENTY.get(name, ("", 0.0))
    return load.get(field, -1.0) >= enough > 0


class Cause(StrEnum):
    """Why a capability is withheld from an executor."""

    MISSING = "missing"
    """Its node answered that it lacks what it claimed."""
    FAILURES = "failures"
    """Too many tasks of the kind failed on it, one after another: its circuit breaker is open."""


class Standing(StrEnum):
    """Where a withheld capability stands."""

    OUT = "out"
    """The executor is in a pool without it, until its time is over."""
    TRIAL = "trial"
    """It is back for one task, which decides: half-open."""
    TRIED = "tried"
    """That task runs; until it ends the executor is in the pool without it again."""
    BACK = "back"
    """It is back; forgotten unless it is missed again soon."""


class Withheld(msgspec.Struct, frozen=True):
    """A capability that an executor claims and does not get work for, or lately did not."""

    capability: str
    standing: Standing
    cause: Cause
    until_ms: int
    """When the next step is taken."""
    times: int = 1
    """How often in a row; each time takes twice as long as the one before."""
    reason: str = ""
    """The node's own words."""

    @property
    def is_out(self) -> bool:
        """Whether the executor is in a pool without the capability now."""
        return self.standing in {Standing.OUT, Standing.TRIED}

    @property
    def sentence(self) -> str:
        """What people are told of it."""
        at = datetime.fromtimestamp(self.until_ms / 1000, UTC).strftime("%H:%M:%S UTC")
        match self.standing, self.cause:
            case Standing.TRIAL, _:
                return f"Too many {self.capability} tasks failed on it: it gets one now, which decides."
            case Standing.TRIED, _:
                return f"Too many {self.capability} tasks failed on it: one is tried now, and decides."
            case Standing.BACK, _:
                return f"It lacked {self.capability} lately; it may be asked for it again."
            case _, Cause.FAILURES:
                return f"Too many {self.capability} tasks failed on it, one after another: it gets none until {at}."
            case _:
                said = f" ({self.reason.rstrip('.')})" if self.reason else ""
                return f"It lacked {self.capability}, which it claims{said}: it is tried again at {at}."


class BreakerRules(msgspec.Struct, frozen=True):
    """When an executor gets no more tasks of a kind, and for how long."""

    failures: int = 5
    """So many failures in a row, each of another job, open the breaker; 0 for never."""
    cool_ms: int = 30_000
    """How long it stays open the first time; doubled each time that the trial fails."""
    longest_ms: int = 600_000


def capability_of(missing: str) -> str:
    """Return the capability to withhold when a node says that it lacks something; empty for none.

    Another version of a kind (`kind:clip@3`) is no reason: the node still does those that it has.
    """
    name = missing.partition("/")[0] if missing.startswith("kind:") else missing
    if "@" in name:
        return ""
    try:
        return check_capabilities([name])[0]
    except InvalidRequest:
        return ""


def has_gpu(executors: Iterable[Executor]) -> bool:
    """Tell whether any of the executors offers a graphics card."""
    return any(capability.startswith("hw:") for one in executors for capability in one.capabilities)
