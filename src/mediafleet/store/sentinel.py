"""Redis behind Sentinel: the address of such a store, and connections that find its primary.

After a fail-over each new connection asks the sentinels again; those to the old primary are ended by the sentinels
that demote it (docs/decisions/0015). Nothing here decides which server leads.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

SCHEMES = frozenset({"redis+sentinel", "rediss+sentinel"})
DEFAULT_PORT = 26379
DEFAULT_SERVICE = "mymaster"
"""What the sentinels' own example calls the primary."""
ASK_TIMEOUT_S = 1.0
"""How long one sentinel may take to answer before the next is asked; one that is away must not hold up a fail-over."""


@dataclass(frozen=True)
class SentinelAddress:
    """What a `redis+sentinel://` address says."""

    sentinels: tuple[tuple[str, int], ...]
    service: str = DEFAULT_SERVICE
    database: int = 0
    username: str = ""
    password: str = ""
    uses_tls: bool = False


def is_sentinel(url: str) -> bool:
    """Tell whether an address names sentinels, and not the store itself."""
    return urlsplit(url).scheme in SCHEMES


def parse_sentinels(url: str) -> SentinelAddress:
    """Read `redis+sentinel://[user:password@]host[:port],host[:port]/service[/database]`.

    User and password, percent-encoded, are the store's; the sentinels are asked without any.

    Raises:
        ValueError: It is no such address.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    sentinels = tuple(_parse_host(host.strip()) for host in hosts.split(","))
    return SentinelAddress(
        sentinels,
        unquote(service) or DEFAULT_SERVICE,
        int(database or 0),
        unquote(username),
        unquote(password),
        uses_tls=parts.scheme.startswith("rediss"),
    )


def _parse_host(text: str) -> tuple[str, int]:
    # One address at a time, since urlsplit knows of one port only.
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a sentinel without a host")
    return parts.hostname, parts.port or DEFAULT_PORT


class SentinelPool(BlockingConnectionPool):
    """Connections to whichever server leads. redis-py's own pool for sentinels fails where all are in use; this waits."""

    is_master = True
    # The handshake of a connection is answered by the server already.
    check_connection = False

    def __init__(self, address: SentinelAddress, **options: Any) -> None:
        """Take what a plain pool takes; nothing is asked before the first connection is made."""
        kind = SentinelManagedSSLConnection if address.uses_tls else SentinelManagedConnection
        credentials = {"username": address.username or None, "password": address.password or None}
        cast("Any", super()).__init__(connection_class=kind, db=address.database, **credentials, **options)
        # Weak, as redis-py has it: the pool owns its connections, not they the pool.
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)
        self._service = address.service
        ask_options: dict[str, Any] = {"socket_timeout": ASK_TIMEOUT_S, "socket_connect_timeout": ASK_TIMEOUT_S}
        self._sentinels: Any = cast("Any", Sentinel)(
            address.sentinels, sentinel_kwargs=ask_options | {"ssl": address.uses_tls}
        )

    async def get_master_address(self) -> tuple[str, int]:
        """Return where the primary is by now. Raises redis-py's ConnectionError where no sentinel knows one."""
        return await self._sentinels.discover_master(self._service)

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Close all connections, those to sentinels as well."""
        await super().disconnect(inuse_connections)
        for sentinel in self._sentinels.sentinels:
            await sentinel.aclose()
