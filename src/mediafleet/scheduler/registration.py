"""What a node says of itself when it registers, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mediafleet.domain.cells import home_of_node
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.frames import PROTOCOL_VERSION
from mediafleet.domain.ids import is_id

if TYPE_CHECKING:
    from mediafleet.domain.frames import Register

MAX_EXECUTORS = 256
"""Of one node: four for each of the GPUs and cards of the largest machines, and room to spare."""


def check_register(frame: Register, cell: str, cells: Sequence[str] = ("",)) -> None:
    """Check what a node says of itself, which registers in one of these cells. Raises InvalidRequest."""
    if frame.protocol != PROTOCOL_VERSION:
        raise InvalidRequest(
            f"Protocol {frame.protocol} is not supported here; this scheduler speaks {PROTOCOL_VERSION}."
        )
    if not is_id(frame.node, "n") or home_of_node(frame.node, cells) != cell:
        raise InvalidRequest(f"{frame.node[:80]!r} is no node id of the cell {cell!r}.")
    # Ids of executors are made of their names; two of one name would share their slots.
    if len(frame.executors) > MAX_EXECUTORS:
        raise InvalidRequest(f"A node has at most {MAX_EXECUTORS} executors; {len(frame.executors)} were named.")
    names = [executor.name for executor in frame.executors]
    if len(set(names)) != len(names) or not names:
        raise InvalidRequest("A node needs one executor or more, each with a name of its own.")
    for executor in frame.executors:
        executor.check()
