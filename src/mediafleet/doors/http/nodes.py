"""`/api/v1/nodes`: who is there, what they run, and letting one drain or pause."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from mediafleet.domain.node import NodeView, parse_state
from mediafleet.domain.pause import PauseRequest
from mediafleet.doors.http.context import InjectedFleet

# Named apart, because the framework keeps the word `state` for itself.
_StateQuery = Annotated[str, QueryParameter(name="state", description="Only nodes in this state.")]


class DrainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a node takes new work."""

    draining: bool = True
    """False lets it take work again."""


class NodesController(Controller):
    """Nodes over REST."""

    path = "/api/v1/nodes"
    tags = ("nodes",)

    @get()
    async def all(self, fleet: InjectedFleet, in_state: _StateQuery = "") -> list[NodeView]:
        """Return all nodes, or those in a state; states are read in any case, and by older names (`unavailable`)."""
        wanted = parse_state(in_state) if in_state else None
        return [node for node in await fleet.nodes() if wanted in {None, node.state}]

    @get("/{node_id:str}")
    async def show(self, fleet: InjectedFleet, node_id: FromPath[str]) -> NodeView:
        """Return one node."""
        return await fleet.node(node_id)

    # The body may be left out, so that a person can drain a node with a bare POST.
    @post("/{node_id:str}/drain", status_code=202)
    async def drain(
        self, fleet: InjectedFleet, node_id: FromPath[str], data: JSONBody[DrainRequest | None] = None
    ) -> NodeView:
        """Let a node finish what it runs and take nothing new, or undo that."""
        return await fleet.drain(node_id, draining=data.draining if data else True)

    @post("/{node_id:str}/pause", status_code=202)
    async def pause(
        self, fleet: InjectedFleet, node_id: FromPath[str], data: JSONBody[PauseRequest | None] = None
    ) -> NodeView:
        """Let a node take nothing new until it is resumed; it stays in the fleet, over its restarts too."""
        return await fleet.pauses.pause_node(node_id, now=data.now if data else False)

    @post("/{node_id:str}/resume", status_code=202)
    async def resume(self, fleet: InjectedFleet, node_id: FromPath[str]) -> NodeView:
        """Let a paused node take work again."""
        return await fleet.pauses.resume_node(node_id)
