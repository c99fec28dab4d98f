"""The node: registers a machine's executors, runs attempts, reports them, and survives."""

from mediafleet.node.agent import Farewell, NodeAgent, Surroundings
from mediafleet.node.link import Dial, Link, WebSocketLink

__all__ = ["Dial", "Farewell", "Link", "NodeAgent", "Surroundings", "WebSocketLink"]
