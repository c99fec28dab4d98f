"""What a node says of itself when it registers: checked, and as the store takes it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mediafleet.domain.cells import home_of_node
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.frames import PROTOCOL_VERSION
from mediafleet.domain.health import has_gpu, judge_load
from mediafleet.domain.ids import executor_id, is_id
from mediafleet.domain.node import NodeState
from mediafleet.scheduler.outcomes import POISON
from mediafleet.store.records import ExecutorRecord, NodeDocument, NodeRecord
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.domain.frames import Register
    from mediafleet.domain.node import Executor
    from mediafleet.ops.settings import SchedulerSettings
    from mediafleet.scheduler.facade import NodeLink

MAX_EXECUTORS = 256
"""Of one node: four for each of the GPUs and cards of the largest machines, and room to spare."""


def check_executors(executors: Sequence[Executor]) -> None:
    """Check a node's list of executors. Raises InvalidRequest."""
    # Ids of executors are made of their names; two of one name would share their slots.
    if len(executors) > MAX_EXECUTORS:
        raise InvalidRequest(f"A node has at most {MAX_EXECUTORS} executors; {len(executors)} were named.")
    names = [executor.name for executor in executors]
    if len(set(names)) != len(names) or not names:
        raise InvalidRequest("A node needs one executor or more, each with a name of its own.")
    for executor in executors:
        executor.check()


def declared_executors(node: str, executors: Sequence[Executor]) -> list[ExecutorRecord]:
    """Return a node's executors as the store takes them."""
    return [
        ExecutorRecord(executor_id(node, e.name), e.slots, e.signature.pool, e.live_reserve, as_text(e))
        for e in executors
    ]


def declared_pools(executors: Sequence[Executor]) -> dict[str, str]:
    """Return the pools of executors from which nothing is withheld."""
    return {e.signature.pool: as_text(e.signature) for e in executors}


def state_of(frame: Register) -> NodeState:
    """Return what a node says of itself when it registers.

    Raises:
        InvalidRequest: It is no state that a node can join in.
    """
    try:
        state = NodeState(frame.state) if frame.state else NodeState.READY
    except ValueError:
        state = NodeState.OFFLINE
    if state in {NodeState.OFFLINE, NodeState.UNLINKED}:
        raise InvalidRequest(
            f"A node cannot join as {frame.state[:40]!r}; it may be ready, warmup, degraded or draining."
        )
    return state


def check_gpu(executors: Sequence[Executor], *, is_required: bool) -> None:
    """Return if a node with these executors may join a fleet that may require a GPU. Raises InvalidRequest."""
    if is_required and not has_gpu(executors):
        raise InvalidRequest(
            "This fleet takes only nodes with a GPU (scheduler.require_gpu), and none of this node's executors offers an "
            "`hw:` capability; `mediafleet check` on that machine says why."
        )


def node_record(
    frame: Register, instance: str, settings: SchedulerSettings, *, max_kills: int, link: NodeLink
) -> NodeRecord:
    """Return a node that registers as the store takes it. Raises InvalidRequest if it may not join."""
    state = state_of(frame)
    # A node that warms up does not know yet what it has; it says so when it is ready.
    check_gpu(frame.executors, is_required=settings.require_gpu and state is not NodeState.WARMUP)
    return NodeRecord(
        node=frame.node,
        instance=instance,
        incarnation=frame.incarnation,
        doc=as_text(NodeDocument(frame.host, frame.version, frame.facts, link.kind)),
        draining=frame.draining or state is NodeState.DRAINING,
        lease_ms=link.lease_ms or settings.node_lease_ms,
        executors=declared_executors(frame.node, frame.executors),
        pools=declared_pools(frame.executors),
        announced=(*frame.running, *frame.holding),
        max_kills=max_kills,
        poison_error=as_text(POISON),
        warming=state is NodeState.WARMUP,
        pressed=judge_load(frame.load, frame.headroom, headroom=settings.headroom_percent).reason,
        ailing="the node says so" if state is NodeState.DEGRADED else "",
        load=as_text(frame.load),
    )


def check_register(frame: Register, cell: str, cells: Sequence[str] = ("",)) -> None:
    """Check what a node says of itself, which registers in one of these cells. Raises InvalidRequest."""
    if frame.protocol != PROTOCOL_VERSION:
        raise InvalidRequest(
            f"Protocol {frame.protocol} is not supported here; this scheduler speaks {PROTOCOL_VERSION}."
        )
    if not is_id(frame.node, "n") or home_of_node(frame.node, cells) != cell:
        raise InvalidRequest(f"{frame.node[:80]!r} is no node id of the cell {cell!r}.")
    check_executors(frame.executors)
