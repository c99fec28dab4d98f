"""What operators see of a fleet beside its jobs and nodes: metrics as data, log levels, and what waits how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from mediafleet.domain.health import Cause
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class MetricValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time series of a metric: a number, or a histogram with count, sum and buckets."""

    labels: dict[str, str]
    value: float | None = None
    count: float | None = None
    sum: float | None = None
    buckets: dict[str, float] | None = None
    """Upper end → how many were at most that; the last is `+Inf`."""


class MetricView(msgspec.Struct, frozen=True):
    """One metric as data."""

    name: str
    """As in the Prometheus text, with the `_total` of counters."""
    type: str
    """`counter`, `gauge` or `histogram`."""
    help: str
    values: list[MetricValue]


class LevelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines a module should write from now on."""

    module: str
    """`mediafleet` for all of it, `scheduler` or `scheduler.placer` for a part, or the logger of a library."""
    level: str
    """`debug`, `info`, `warning` or `error`; `default` undoes what was set."""


class LogLevels(msgspec.Struct, frozen=True):
    """Which lines the instances of a cell write."""

    default: str
    """Where nothing else is set: `log.level` of the instance that answers."""
    levels: dict[str, str]
    """What was set at run time, by module; in force on every instance within seconds."""


class QueueDepth(msgspec.Struct, frozen=True):
    """What waits for executors in one class."""

    tasks: int = 0
    oldest_ms: int = 0
    """How long ago the oldest of their jobs was accepted, 0 where none waits."""
    is_cut: bool = False
    """There are more queues than one look reads: it is at least so much."""


class OpenTasks(msgspec.Struct, frozen=True):
    """Tasks that are not final: what bounds of open tasks are held against."""

    all: int = 0
    by_class: Mapping[PriorityClass, int] = {}
    tenant: str = ""
    """The one that has most of them in one cell."""
    of_tenant: int = 0


class FleetGauges(msgspec.Struct, frozen=True):
    """What is read from the store when somebody looks, and never counted along."""

    queues: Mapping[PriorityClass, QueueDepth]
    nodes: Mapping[NodeState, int]
    dead_letters: int
    withheld: Mapping[Cause, int] = {}
    """Capabilities that executors claim and are in no pool with, by why."""
    open: OpenTasks = OpenTasks()


def merge_gauges(cells: Sequence[FleetGauges]) -> FleetGauges:
    """Return the gauges of all cells together."""
    if len(cells) == 1:
        return cells[0]
    queues = dict[PriorityClass, QueueDepth]()
    nodes = Counter[NodeState]()
    for cell in cells:
        nodes.update(cell.nodes)
        for priority, depth in cell.queues.items():
            known = queues.get(priority, QueueDepth())
            queues[priority] = QueueDepth(
                known.tasks + depth.tasks, max(known.oldest_ms, depth.oldest_ms), known.is_cut or depth.is_cut
            )
    withheld = Counter[Cause]()
    for cell in cells:
        withheld.update(cell.withheld)
    return FleetGauges(queues, nodes, sum(cell.dead_letters for cell in cells), withheld, _merge_open(cells))


def _merge_open(cells: Sequence[FleetGauges]) -> OpenTasks:
    by_class = Counter[PriorityClass]()
    for cell in cells:
        by_class.update(cell.open.by_class)
    # Each cell holds a tenant to the bound by itself.
    fullest = max((cell.open for cell in cells), key=lambda found: found.of_tenant)
    return OpenTasks(sum(cell.open.all for cell in cells), by_class, fullest.tenant, fullest.of_tenant)


class KindTally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node ran of one kind since its last heartbeat."""

    runs: _Count = 0
    failed: _Count = 0
    """Those of them that ended with an error."""
    took_ms: _Count = 0
    """All of them together, failed ones included."""
