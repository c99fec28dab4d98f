"""A client for one slot of a Redis Cluster: the one in which all keys of a cell lie (docs/decisions/0017).

`connection.connect` uses it for `redis+cluster://` addresses. To all callers it is an ordinary client of one
server; only its connections look up which server that is, and look again when they are told that the slot has moved.
An ASK is never followed: scripts find most of their keys by themselves, and on the server that is just receiving a slot
they would find only some of them. Their first key never exists, so while a slot moves they are refused before they begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mediafleet.domain.errors import ConfigError

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Schemes of cluster addresses, and what one server of them would be reached by."""
DEFAULT_PORT = 6379

_LOOK_UP: dict[str, Any] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
"""Seconds: a server that has stopped without closing its connections must not hold up the search for its successor."""

Address = tuple[str, int]


class SlotMovedError(exceptions.ConnectionError):
    """The server does not have the slot any more, and has run nothing: what was asked may be sent again elsewhere."""


def is_cluster(url: str) -> bool:
    """Tell whether an address is that of a Redis Cluster."""
    return urlsplit(url).scheme in SCHEMES


def parse_cluster(url: str) -> tuple[list[Address], dict[str, Any]]:
    """Return the servers that a cluster address names, and redis-py's settings for a connection to any of them.

    Raises:
        ValueError: It names no server, or a database: a cluster has only one.
    """
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    if not hosts or parts.path.strip("/"):
        raise ValueError("a cluster address names servers and no database")
    servers: list[Address] = []
    for host in hosts.split(","):
        server = urlsplit(f"//{host}")
        servers.append((server.hostname or "localhost", server.port or DEFAULT_PORT))
    plain = parts._replace(scheme=SCHEMES[parts.scheme], netloc=f"{user}@localhost" if user else "localhost")
    settings = dict(parse_url(urlunsplit(plain)))
    settings.pop("host", None)
    return servers, settings


def owner_of(slot: int, ranges: Sequence[Sequence[Any]], *, asked: Address) -> Address | None:
    """Return the address of the master that has a slot, from the reply to CLUSTER SLOTS; None if nobody has it."""
    for first, last, master, *_ in ranges:
        if first <= slot <= last:
            # A server that does not know its own name leaves it out: it is the one that was asked.
            return (master[0] or b"").decode() or asked[0], int(master[1])
    return None


class SlotRoute:
    """Where one slot is, as far as this client knows."""

    def __init__(self, servers: Sequence[Address], slot: int, connection: type[Connection], **settings: Any) -> None:
        self.slot = slot
        self._servers = list(servers)
        self._connection = connection
        self._settings = settings
        self._owner: Address | None = None
        self._looking = asyncio.Lock()

    async def owner(self) -> Address:
        """Return the slot's master, looked up where it is not known. Raises ConnectionError, ConfigError."""
        # Many connections may be made at once after a fail-over; one of them asks for all.
        async with self._looking:
            self._owner = self._owner or await self._look_up()
        return self._owner

    def note(self, owner: Address) -> None:
        """Go by what a server said of where the slot is."""
        self._owner = owner
        # Asked as well from now on, last: those that were configured may all have been replaced by then.
        if owner not in self._servers:
            self._servers.append(owner)

    def forget(self, owner: Address) -> None:
        """Look again before the next connection is made, unless that has happened already."""
        if self._owner == owner:
            self._owner = None

    async def _look_up(self) -> Address:
        failure: Exception | None = None
        for server in list(self._servers):
            try:
                owner = owner_of(self.slot, await self._ask(server), asked=server)
            except (exceptions.RedisError, OSError) as error:
                if "cluster support disabled" in str(error):
                    raise ConfigError(
                        f"{server[0]}:{server[1]} is not part of a Redis Cluster; write its address with redis://."
                    ) from error
                failure = error
                # Asked last from now on: it may take all of its time again.
                self._servers.remove(server)
                self._servers.append(server)
                continue
            if owner:
                self.note(owner)
                return owner
        # A fault of ours (a wrong password) is named by its cause.
        raise exceptions.ConnectionError(f"no server of the cluster says who has slot {self.slot}") from failure

    async def _ask(self, server: Address) -> Sequence[Sequence[Any]]:
        # redis-py leaves its replies untyped.
        connection: Any = self._connection(host=server[0], port=server[1], **self._settings | _LOOK_UP)
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            await connection.disconnect()


class SlotConnection(Connection):
    """A connection to whichever server has the slot."""

    def __init__(self, *, route: SlotRoute, **settings: Any) -> None:
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType] - redis-py types it in part
        self._route = route

    async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        """Connect if there is no connection."""
        if self.is_connected:
            return
        self.host, self.port = await self._route.owner()
        try:
            await super().connect_check_health(*arguments, **options)
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            self._route.forget((self.host, self.port))
            raise

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return the next reply. Raises SlotMovedError where another server has the slot."""
        try:
            return cast("Any", await super().read_response(*arguments, **options))
        except exceptions.MovedError as moved:
            error: Any = moved
            if error.slot_id != self._route.slot:
                # A key of another cell was asked for here, which only a mistake of ours does.
                raise
            self._route.note((error.host or self.host, error.port))
            await self.disconnect(nowait=True)
            raise SlotMovedError("the slot has moved to another server") from moved
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            # It may have died, and another have the slot by now.
            self._route.forget((self.host, self.port))
            raise


class SlotSslConnection(SlotConnection, SSLConnection):
    """The same with TLS."""


def slot_pool(url: str, *, slot: int, **settings: Any) -> BlockingConnectionPool:
    """Return a pool of connections to the server that has the slot. Raises ValueError for a malformed address."""
    servers, given = parse_cluster(url)
    is_tls = given.pop("connection_class", None) is SSLConnection
    pool_settings = {name: settings.pop(name) for name in ("max_connections", "timeout")}
    each = given | settings
    route = SlotRoute(servers, slot, SSLConnection if is_tls else Connection, **each)
    return BlockingConnectionPool(
        connection_class=SlotSslConnection if is_tls else SlotConnection,
        route=route,
        # Only what was refused is sent again, and then to the server that was named; a second time, since that one may
        # have given the slot away meanwhile.
        **each | {"retry": Retry(NoBackoff(), 2, supported_errors=(SlotMovedError,))},
        **pool_settings,
    )
