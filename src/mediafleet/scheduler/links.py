"""Which nodes this instance holds a link to, and what goes out over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    Assignment,
    AttemptRef,
    JobAssign,
    JobCancel,
    SchedulerFrame,
    utf8_length,
)
from mediafleet.domain.ids import node_of

if TYPE_CHECKING:
    from mediafleet.scheduler.facade import NodeLink
    from mediafleet.store.records import PlacedTask, Stop


@dataclass(frozen=True)
class LinkedNode:
    """One node on a link of this instance."""

    link: NodeLink
    epoch: int
    """Rises with each registration of the node; an older link changes nothing."""
    headroom: dict[str, int] = field(default_factory=dict[str, int])
    """Per cent of its machine that the node itself says must be free for new work, by resource."""


class LinkTable:
    """The links of this instance, by node."""

    def __init__(self) -> None:
        self._linked: dict[str, LinkedNode] = {}
        self.forward: Callable[[str, SchedulerFrame], None] = _drop
        """Takes frames for nodes without a link here."""

    def put(self, node: str, linked: LinkedNode) -> NodeLink | None:
        """Note a node's newest link; return the one that it replaces."""
        # The newest wins: a node that dials again has given its old link up, even if its socket looks open here.
        older = self._linked.get(node)
        self._linked[node] = linked
        return older.link if older and older.link is not linked.link else None

    def get(self, node: str) -> LinkedNode | None:
        """Return the node's link, if this instance holds it."""
        return self._linked.get(node)

    def of_link(self, link: NodeLink) -> LinkedNode | None:
        """Return the entry of a link, unless a newer link has replaced it."""
        linked = self._linked.get(link.node)
        # By identity, because a link that was replaced goes on to speak until its socket has closed.
        return linked if linked and linked.link is link else None

    def remove(self, link: NodeLink) -> LinkedNode | None:
        """Forget a link; None if it was replaced before."""
        linked = self.of_link(link)
        if linked:
            del self._linked[link.node]
        return linked

    def all(self) -> list[NodeLink]:
        """Return the links of all nodes."""
        return [linked.link for linked in self._linked.values()]

    def send(self, node: str, frame: SchedulerFrame) -> bool:
        """Send a frame to a node; False if it could not be handed to a link."""
        linked = self._linked.get(node)
        return linked is not None and linked.link.send(frame)

    def tell_all(self, frame: SchedulerFrame) -> None:
        """Send a frame to all nodes of this instance."""
        for linked in list(self._linked.values()):
            linked.link.send(frame)

    def tell(self, node: str, frame: SchedulerFrame) -> None:
        """Send a frame to a node, through another instance if that has its link. It may get lost on the way."""
        if not self.send(node, frame):
            self.forward(node, frame)

    def assign(self, placed: Sequence[PlacedTask]) -> list[PlacedTask]:
        """Send assignments, one frame a node; return those that could not be handed to a link."""
        # One frame a node and not one a task, so that the cost of a task falls as the load rises.
        by_node: dict[str, list[PlacedTask]] = defaultdict(list)
        for task in placed:
            by_node[node_of(task.executor)].append(task)
        undelivered: list[PlacedTask] = []
        for node, tasks in by_node.items():
            for part in split_by_bytes(tasks):
                if not self.send(node, JobAssign(tuple(map(_assignment, part)))):
                    undelivered += part
        return undelivered

    def cancel(self, stops: Iterable[Stop], reason: str) -> None:
        """Tell nodes to end attempts. Those without a link are told when they register again."""
        by_node: dict[str, list[AttemptRef]] = defaultdict(list)
        for stop in stops:
            by_node[node_of(stop.executor)].append(AttemptRef(stop.task, stop.grant))
        for node, attempts in by_node.items():
            self.tell(node, JobCancel(tuple(attempts), reason))


# Half of what a frame may have: the rest is for ids, grants and names that go round the documents.
def split_by_bytes(tasks: Sequence[PlacedTask], *, limit_bytes: int = MAX_FRAME_BYTES // 2) -> list[list[PlacedTask]]:
    """Return the tasks in order, in parts whose documents stay below the limit: a node closes at a larger frame."""
    parts: list[list[PlacedTask]] = []
    room = 0
    for task in tasks:
        size = utf8_length(task.doc)
        if size > room or not parts:
            parts.append([])
            room = limit_bytes
        parts[-1].append(task)
        room -= size
    return parts


def _drop(node: str, frame: SchedulerFrame) -> None:
    """Lose the frame: what must be known is said again when the node registers."""


def _assignment(task: PlacedTask) -> Assignment:
    return Assignment(
        task=task.task,
        grant=task.grant,
        attempt=task.attempt,
        executor=task.executor.partition("/")[2],
        cost=task.cost,
        job=task.job,
        spec=msgspec.Raw(task.doc),
    )
