"""How this program talks to Redis: one client with settings that fit scripts, and errors in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from mediafleet.domain.errors import ConfigError, MediafleetError, StoreUnavailable
from mediafleet.domain.ids import DEFAULT_CELL
from mediafleet.store.keys import Keys
from mediafleet.store.sentinel import SentinelPool, is_sentinel, parse_sentinels
from mediafleet.store.slot import is_cluster, slot_pool

if TYPE_CHECKING:
    from types import TracebackType

MAX_CONNECTIONS = 64
"""More callers than this wait for a connection; a server does not get faster by more."""
POOL_WAIT_S = 20.0
"""How long a caller waits for a connection of the pool."""
SOCKET_TIMEOUT_S = 10.0
"""How long a command may take to be answered."""
LONGEST_BLOCK_MS = 5_000
"""The longest `BLOCK` a reading command may ask for, milliseconds: the socket gives up after `SOCKET_TIMEOUT_S`."""
CONNECT_TIMEOUT_S = 5.0
HEALTH_CHECK_S = 15
"""A connection that was idle for longer is tried with PING before it is used."""

if LONGEST_BLOCK_MS >= SOCKET_TIMEOUT_S * 1000:
    raise AssertionError("A blocking read must be answered before the socket gives up.")

# CLIENT SETNAME refuses spaces and what cannot be printed, and connecting would fail with it.
_NOT_IN_A_CLIENT_NAME = re.compile(r"[^\x21-\x7e]")


def connect(url: str, *, prefix: str, cell: str = DEFAULT_CELL) -> Redis:
    """Return a client; connections are made when they are needed. Close it with `aclose()`.

    Nothing is ever sent twice: after an error the caller cannot know whether a write happened. Replies are bytes.

    Args:
        url: `redis://`, `rediss://`, `unix://` or `redis+sentinel://` address; of a cluster `redis+cluster://` or
            `rediss+cluster://`, with one or more servers between commas.
        prefix: First word of every key; shown in the server's client list.
        cell: The cell whose keys are asked for: in a cluster, only those can be.

    Raises:
        ConfigError: The address is malformed.
    """
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_WAIT_S,
        # Left to itself, redis-py 8 gives up after 5 s: before a blocking read of LONGEST_BLOCK_MS is answered.
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
        # By default redis-py repeats a command after a lost connection, also a script that had run before it was lost.
        "retry": Retry(NoBackoff(), 0),
        "client_name": _NOT_IN_A_CLIENT_NAME.sub("-", f"mediafleet-{prefix}"),
        # Replies of scripts are MessagePack, which is no text.
        "decode_responses": False,
        # RESP3 changes the shape of some replies between releases of redis-py.
        "protocol": 2,
    }
    try:
        if is_cluster(url):
            pool = slot_pool(url, slot=key_slot(Keys(prefix, cell).tag.encode()), **options)
        elif is_sentinel(url):
            pool = SentinelPool(parse_sentinels(url), **options)
        else:
            # redis-py's plain pool raises as soon as more callers than connections are there; this one lets them wait.
            pool = cast("Any", BlockingConnectionPool).from_url(url, **options)
    except ValueError as error:
        # The address may hold a password, so it is not repeated.
        raise ConfigError(
            "The Redis address cannot be used; write it like 'redis://host:6379/0', 'rediss://…', 'unix:///path', "
            "'redis+sentinel://host:26379,host:26379/service' or 'redis+cluster://host:6379,host:6380'."
        ) from error
    return Redis.from_pool(pool)


class translate_errors:  # noqa: N801 - reads like contextlib's: `with translate_errors():`
    """Turn errors of redis-py inside the `with` block into ours.

    What the server refuses because of a mistake of ours (a wrong type, an unknown script) passes unchanged.

    Raises:
        StoreUnavailable: Redis is away, busy, loading, read-only or full; the caller must re-read before it repeats.
        ConfigError: Redis does not accept the credential.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise ours in place of theirs."""
        if isinstance(exc, exceptions.RedisError) and (ours := _translate(exc)) is not None:
            raise ours from exc


_Theirs = type[exceptions.RedisError] | tuple[type[exceptions.RedisError], ...]

_BY_CLASS: tuple[tuple[_Theirs, type[MediafleetError], str], ...] = (
    # Derived classes before their bases: redis-py makes most of these ConnectionErrors.
    (
        (exceptions.AuthenticationError, exceptions.AuthorizationError),
        ConfigError,
        "Redis does not accept the user name or password; correct the Redis address.",
    ),
    (
        exceptions.NoPermissionError,
        ConfigError,
        "The Redis user may not run a command that is needed; give it all commands on keys of this prefix.",
    ),
    (exceptions.BusyLoadingError, StoreUnavailable, "Redis is still loading its data; try again in a few seconds."),
    (
        exceptions.ReadOnlyError,
        StoreUnavailable,
        "Redis is a read-only replica at present; try again after the fail-over, or give the address of the primary.",
    ),
    (
        exceptions.OutOfMemoryError,
        StoreUnavailable,
        "Redis has reached its memory limit and refuses writes; raise 'maxmemory' or remove finished jobs.",
    ),
    (
        exceptions.TimeoutError,
        StoreUnavailable,
        "Redis did not answer in time; whether the last write happened is not known.",
    ),
    (
        # ASK: a part of the cell has moved to another server, and scripts need all of it (store/slot.py).
        (exceptions.ClusterDownError, exceptions.TryAgainError, exceptions.AskError),
        StoreUnavailable,
        "The Redis primary or a part of the cluster is away; try again after the fail-over.",
    ),
    (exceptions.ConnectionError, StoreUnavailable, "Redis cannot be reached; check that it runs and the address."),
)

_BY_CODE: dict[str, str] = {
    "OOM": "Redis has reached its memory limit and refuses writes; raise 'maxmemory' or remove finished jobs.",
    "MISCONF": "Redis cannot write its data to disk and refuses writes; free space on its disk.",
    "READONLY": "Redis is a read-only replica at present; try again after the fail-over.",
    "NOREPLICAS": "Redis has too few replicas and refuses writes; try again when they are back.",
    "MASTERDOWN": "The Redis primary is away; try again after the fail-over.",
    "LOADING": "Redis is still loading its data; try again in a few seconds.",
    "BUSY": "Redis is busy with a long script; try again in a few seconds.",
}
_CODE = re.compile(rf"(?:^|[ :]-)({'|'.join(_BY_CODE)}) ")
"""At the start of a reply; or, where a script met it on Redis 6, inside it with a dash."""


def _translate(error: exceptions.RedisError) -> MediafleetError | None:
    # Script.run sends the text again where it sees this one, so it must get it as it is.
    if isinstance(error, exceptions.NoScriptError):
        return None
    # redis-py hides what the server refused while connecting (password, rights, loading) behind a plain
    # ConnectionError: its cause has the better sentence, if it has one.
    if isinstance(error.__cause__, exceptions.RedisError) and (hidden := _translate(error.__cause__)) is not None:
        return hidden
    for theirs, ours, sentence in _BY_CLASS:
        if isinstance(error, theirs):
            return ours(sentence, detail=str(error))
    if isinstance(error, exceptions.ResponseError) and (match := _CODE.search(str(error))):
        return StoreUnavailable(_BY_CODE[match[1]], detail=str(error))
    return None
