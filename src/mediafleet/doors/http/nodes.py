"""`/api/v1/nodes`: who is there, what they run, and letting one drain."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from mediafleet.domain.node import NodeView, parse_state
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
