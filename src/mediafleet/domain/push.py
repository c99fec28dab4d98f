"""Nodes that listen: how they are named in the settings, and who calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from mediafleet.domain.errors import InvalidRequest

_HIGHEST_PORT = 65_535
_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})"
_NODE = re.compile(rf"(?:(?P<scheme>https?)://)?(?P<host>{_HOST}):(?P<port>\d{{1,5}})/?(?::(?P<priority>-?\d{{1,6}}))?")
_LISTEN = re.compile(rf"(?P<host>{_HOST}):(?P<port>\d{{1,5}})")


@dataclass(frozen=True)
class PushNode:
    """A node that schedulers call."""

    address: str
    """`http://host:port`, without a slash at its end."""
    priority: int | None = None
    """The operator's word on it, in place of the node's own; None to leave that."""


class PushClaim(msgspec.Struct, frozen=True):
    """A listening node that an instance may call now."""

    address: str
    term: int
    """Rises each time that another instance takes the node over."""


class PushClaims(msgspec.Struct, frozen=True):
    """All of one instance's."""

    claims: list[PushClaim]


def parse_push_nodes(lines: Iterable[str]) -> list[PushNode]:
    """Return the nodes that `host:port`, `host:port:priority` or the same after `http://` or `https://` name.

    Raises:
        InvalidRequest: One has another form, or is named twice.
    """
    nodes: dict[str, PushNode] = {}
    for line in lines:
        found = _NODE.fullmatch(line.strip())
        if not found or not 1 <= int(found["port"]) <= _HIGHEST_PORT:
            raise InvalidRequest(
                f"{line[:200]!r} names no node; write host:port or host:port:priority, as 192.0.2.7:9000:5, "
                "with https:// before it where it has a certificate."
            )
        address = f"{found['scheme'] or 'http'}://{found['host'].lower()}:{int(found['port'])}"
        # Two calls would fight over the one link that a node has.
        if address in nodes:
            raise InvalidRequest(f"The node {address} is named twice.")
        nodes[address] = PushNode(address, int(found["priority"]) if found["priority"] else None)
    return list(nodes.values())


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`; port 0 stands for a free one.

    Raises:
        InvalidRequest: It has another form.
    """
    found = _LISTEN.fullmatch(text.strip())
    if not found or int(found["port"]) > _HIGHEST_PORT:
        raise InvalidRequest(f"{text[:200]!r} is no address to listen on; write host:port, as 0.0.0.0:9000.")
    return found["host"].strip("[]"), int(found["port"])
