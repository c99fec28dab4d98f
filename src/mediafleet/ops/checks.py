"""What must hold of the settings as a whole, as sentences for the person who wrote them."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mediafleet.domain.artifact import OBJECT_ADDRESS
from mediafleet.domain.cells import MOST_CELLS
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.health import parse_headroom
from mediafleet.domain.ids import DEFAULT_CELL
from mediafleet.domain.path_map import PathMap
from mediafleet.domain.push import parse_listen, parse_push_nodes
from mediafleet.domain.rules import parse_tenants

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mediafleet.ops.settings import (
        ArtifactSettings,
        CatalogueSettings,
        EndpointSettings,
        EngineSettings,
        MasterSettings,
        NodeSettings,
        SchedulerSettings,
        ServerSettings,
        Settings,
        SignalrSettings,
        StoreSettings,
    )

LEAST_TOKEN_LENGTH = 16
"""Characters; 16 random ones of base 64 cannot be guessed over a network."""
MOST_PLACE_BATCH = 64
"""Tasks; more would hold the store for too long in one script."""
HIGHEST_PORT = 65_535
MOST_PERCENT = 100
MOST_RESERVED_PERCENT = 1000
MOST_NICE = 19
LEAST_OPEN_FILES = 64
"""Files; encoders open libraries, a device and a few pipes before any medium."""

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_CELL = re.compile(r"[a-z0-9]{1,16}")
_LABEL = re.compile(r"[A-Za-z0-9_.>@/+-]{1,80}")
ALL_OBJECTS = ("s3:/", "gs:/", "az:/")
"""As roots: each object that the fleet's key can read."""
_LANGUAGE, _PAIR = re.compile(r"[a-z]{2,3}"), re.compile(r"[a-z]{2,3}>[a-z]{2,3}")
_SPEECH = re.compile(r"auto|[a-z]{2,3}")
_TONE = re.compile(r"[a-z][a-z0-9-]{0,39}")
_ENDPOINT_LANGUAGES = {"recognize": _LANGUAGE, "repair": _LANGUAGE, "translate": _PAIR, "synthesize": _LANGUAGE}
"""Role of an endpoint → how its languages are written."""
_REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"}) | {
    f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")
}

_MAY_BE_ZERO = frozenset(
    {
        "slots",
        "live_reserve",
        "priority",
        "port",
        "drain_s",
        "stop_grace_ms",
        "max_kills",
        "headroom_percent",
        "breaker_failures",
        "cache_bytes",
        "spare_children",
        "child_memory_percent",
        "child_file_gib",
        "child_cpu_hours",
        "child_open_files",
        "child_nice",
        "memory_gib",
        "processes",
        "retries",
    }
) | {
    "max_open",
    "max_open_per_tenant",
    "max_open_live",
    "max_open_interactive",
    "max_open_batch",
}
"""Numbers for which 0 has a meaning; all others are 1 or more."""


def check_settings(settings: Settings, *, unread: Collection[str] = ()) -> list[str]:
    """Return one sentence for each thing that cannot work; an empty list if all is well.

    Args:
        unread: Keys whose values could not be read and have their defaults here: nothing is said about them, nor about
            what they do not fit to.
    """
    # Each sentence names every key that it is about.
    return [sentence for sentence in _check_all(settings) if not any(key in sentence for key in unread)]


def _check_all(settings: Settings) -> list[str]:
    return [
        *_check_numbers(settings),
        *_check_store(settings.store),
        *_check_times(settings.scheduler),
        *_check_health(settings.scheduler),
        *_check_node(settings.node),
        *_check_children(settings.node),
        *_check_master(settings.master),
        *_check_server(settings.server),
        *_check_signalr(settings.signalr),
        *_check_workers(settings),
        *_check_artifacts(settings.artifacts),
        *_check_catalogue(settings.catalogue),
        *_check_engines(settings.engines),
    ]


def _check_numbers(component: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(component):
        value = getattr(component, item.name)
        if is_dataclass(value):
            yield from _check_numbers(value, f"{prefix}{item.name}.")
        # A truth value is a number to Python.
        elif isinstance(value, int) and not isinstance(value, bool):
            least = 0 if item.name in _MAY_BE_ZERO else 1
            if value < least:
                yield f"{prefix}{item.name} is {value}; it must be {least} or more."


def _check_workers(settings: Settings) -> Iterator[str]:
    lease, heartbeat = settings.signalr.worker_timeout_ms, settings.scheduler.heartbeat_ms
    if lease < 2 * heartbeat:
        yield (
            f"signalr.worker_timeout_ms is {lease}, less than twice scheduler.heartbeat_ms, {heartbeat}: "
            "one late heartbeat would lose a worker."
        )


def _check_store(store: StoreSettings) -> Iterator[str]:
    if not _PREFIX.fullmatch(store.prefix):
        yield (
            f"store.prefix is {store.prefix!r}; use 1 to 32 letters, digits, '_', '.' and '-', beginning with a letter or digit."
        )
    if not _CELL.fullmatch(store.cell):
        yield f"store.cell is {store.cell!r}; use 1 to 16 of a-z and 0-9."
    if store.cells > MOST_CELLS:
        yield f"store.cells is {store.cells}; it must be 1 to {MOST_CELLS}."
    if store.cells > 1 and store.cell != DEFAULT_CELL:
        yield f"store.cell is {store.cell!r}, but store.cells is {store.cells}: several cells have names of their own."
    if store.redis_url and urlsplit(store.redis_url).scheme not in _REDIS_SCHEMES:
        # The address itself is left out: it may hold a password.
        yield (
            "store.redis_url must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// "
            "(rediss+… with TLS)."
        )


def _check_times(scheduler: SchedulerSettings) -> Iterator[str]:
    lease, reservation, reap = scheduler.node_lease_ms, scheduler.reservation_ms, scheduler.reap_ms
    if lease < 2 * scheduler.heartbeat_ms:
        yield (
            f"scheduler.node_lease_ms is {lease}, less than twice scheduler.heartbeat_ms, {scheduler.heartbeat_ms}: "
            "one late heartbeat would lose a node."
        )
    if reservation >= lease:
        yield f"scheduler.reservation_ms is {reservation}; it must be less than scheduler.node_lease_ms, {lease}."
    if reap >= reservation:
        yield f"scheduler.reap_ms is {reap}; it must be less than scheduler.reservation_ms, {reservation}."
    if scheduler.outage_gap_ms <= reap:
        yield (
            f"scheduler.outage_gap_ms is {scheduler.outage_gap_ms}; it must be more than scheduler.reap_ms, {reap}, "
            "or every pause between two looks would count as an outage."
        )
    try:
        parse_tenants(scheduler.tenants)
    except InvalidRequest as error:
        yield f"scheduler.tenants: {error.message}"
    try:
        parse_push_nodes(scheduler.push_nodes)
    except InvalidRequest as error:
        yield f"scheduler.push_nodes: {error.message}"
    if scheduler.place_batch > MOST_PLACE_BATCH:
        yield f"scheduler.place_batch is {scheduler.place_batch}; it must be 1 to {MOST_PLACE_BATCH}."


def _check_health(scheduler: SchedulerSettings) -> Iterator[str]:
    if scheduler.headroom_percent > MOST_PERCENT:
        yield f"scheduler.headroom_percent is {scheduler.headroom_percent}; it must be 0 to {MOST_PERCENT}."
    longest = scheduler.withheld_longest_ms
    if longest < max(scheduler.breaker_cool_ms, scheduler.missing_ms):
        yield (
            f"scheduler.withheld_longest_ms is {longest}, less than scheduler.breaker_cool_ms, "
            f"{scheduler.breaker_cool_ms}, or scheduler.missing_ms, {scheduler.missing_ms}."
        )


def _check_node(node: NodeSettings) -> Iterator[str]:
    addresses = [urlsplit(part.strip()) for part in node.scheduler.split(",")]
    if any(address.scheme not in {"http", "https"} or not address.hostname for address in addresses):
        yield (
            f"node.scheduler is {node.scheduler!r}; write an address like http://192.0.2.7:8000, "
            "or several with commas between them."
        )
    if node.reconnect_min_ms > node.reconnect_max_ms:
        yield f"node.reconnect_min_ms is {node.reconnect_min_ms}, more than node.reconnect_max_ms, {node.reconnect_max_ms}."
    yield from _check_words(node)
    for root in node.replace_roots:
        if not PurePath(root).is_absolute():
            yield f"node.replace_roots has {root!r}, which is no absolute path."
    for label in node.labels:
        if not _LABEL.fullmatch(label):
            yield f"node.labels has {label!r}; use 1 to 80 letters, digits and '_', '.', '>', '@', '/', '+', '-'."


def _check_words(node: NodeSettings) -> Iterator[str]:
    """Check what is written in a form of its own."""
    forms: dict[str, Callable[[], object]] = {
        "listen": lambda: parse_listen(node.listen or "127.0.0.1:0"),
        "api": lambda: parse_listen(node.api or "127.0.0.1:0"),
        "headroom": lambda: parse_headroom(node.headroom),
        "paths": lambda: PathMap(node.paths),
    }
    for name, read in forms.items():
        try:
            read()
        except InvalidRequest as error:
            yield f"node.{name}: {error.message}"


def _check_children(node: NodeSettings) -> Iterator[str]:
    if node.child_memory_percent > MOST_RESERVED_PERCENT:
        yield f"node.child_memory_percent is {node.child_memory_percent}; it must be 0 to {MOST_RESERVED_PERCENT}."
    if node.child_nice > MOST_NICE:
        yield f"node.child_nice is {node.child_nice}; it must be 0 to {MOST_NICE}."
    if 0 < node.child_open_files < LEAST_OPEN_FILES:
        yield f"node.child_open_files is {node.child_open_files}; it must be 0, or {LEAST_OPEN_FILES} or more."


def _check_master(master: MasterSettings) -> Iterator[str]:
    # The address itself is left out: it may hold a password.
    if master.url and not _is_web_address(master.url):
        yield "master.url must be the address of a hub like https://192.0.2.7/signalrhub."
    elif "@" in master.url.partition("://")[2].partition("/")[0]:
        yield "master.url holds a password; give the credential of the master apart, with --master-token-file or master.token."
    if master.retry_longest_s < master.retry_s:
        yield f"master.retry_longest_s is {master.retry_longest_s}, less than master.retry_s, {master.retry_s}."
    if not _SPEECH.fullmatch(master.language):
        yield f"master.language is {master.language!r}; write auto, or the code of a language like en."
    if not master.token.isascii() or any(character.isspace() for character in master.token):
        yield "master.token must be ASCII without spaces, since it travels in a header."
    for root in master.roots:
        if not PurePath(root).is_absolute():
            yield f"master.roots has {root!r}, which is no absolute path."


def _check_server(server: ServerSettings) -> Iterator[str]:
    if server.port > HIGHEST_PORT:
        yield f"server.port is {server.port}; it must be 0 to {HIGHEST_PORT}."
    if not server.host:
        yield "server.host is empty; write 0.0.0.0 to listen on every address."
    if server.token and len(server.token) < LEAST_TOKEN_LENGTH:
        yield f"server.token has {len(server.token)} characters; it must have {LEAST_TOKEN_LENGTH} or more."
    if not server.token.isascii() or any(character.isspace() for character in server.token):
        yield "server.token must be ASCII without spaces, since it travels in a header."


def _check_signalr(signalr: SignalrSettings) -> Iterator[str]:
    if signalr.client_timeout_ms < 2 * signalr.ping_ms:
        yield (
            f"signalr.client_timeout_ms is {signalr.client_timeout_ms}, less than twice signalr.ping_ms, "
            f"{signalr.ping_ms}: one late ping would end a connection."
        )
    if signalr.replay_bytes > signalr.queue_bytes:
        yield (
            f"signalr.replay_bytes is {signalr.replay_bytes}; it must not be more than signalr.queue_bytes, "
            f"{signalr.queue_bytes}."
        )


def _check_artifacts(artifacts: ArtifactSettings) -> Iterator[str]:
    if "://" in artifacts.root and not OBJECT_ADDRESS.fullmatch(artifacts.root):
        yield f"artifacts.root is {artifacts.root!r}; it must be a folder, or an address like s3://bucket/prefix (s3, gs or az)."
    for root in artifacts.object_roots:
        if not OBJECT_ADDRESS.fullmatch(root) and root not in ALL_OBJECTS:
            yield f"artifacts.object_roots has {root!r}, which is no address like s3://bucket/prefix (s3, gs or az)."
    if artifacts.endpoint and not _is_web_address(artifacts.endpoint):
        yield "artifacts.endpoint must be an address that begins with http:// or https:// and names a host."
    if bool(artifacts.access_key) > bool(artifacts.secret_key):
        yield "artifacts.access_key is set without artifacts.secret_key."
    for root in artifacts.file_roots:
        if not PurePath(root).is_absolute():
            yield f"artifacts.file_roots has {root!r}, which is no absolute path."


def _check_catalogue(catalogue: CatalogueSettings) -> Iterator[str]:
    # The address itself is left out: it may hold a password.
    if catalogue.url and not _is_web_address(catalogue.url):
        yield "catalogue.url must be an address that begins with http:// or https:// and names a host."


def _check_engines(engines: EngineSettings) -> Iterator[str]:
    for role, is_known in _ENDPOINT_LANGUAGES.items():
        endpoint: EndpointSettings = getattr(engines, role)
        # The address itself is left out: it may hold a password.
        if endpoint.url and not _is_web_address(endpoint.url):
            yield f"engines.{role}.url must be an address that begins with http:// or https:// and names a host."
        for tone in endpoint.tones:
            if role != "synthesize" or not _TONE.fullmatch(tone):
                yield f"engines.{role}.tones has {tone!r}; only engines.synthesize has tones, words like calm."
        for language in endpoint.languages:
            if not is_known.fullmatch(language):
                example = "a pair like en>es" if ">" in is_known.pattern else "a code like en"
                yield f"engines.{role}.languages has {language!r}, which is no language; write {example}."


def _is_web_address(url: str) -> bool:
    try:
        address = urlsplit(url)
        # Asked for, because it is read only then: a port that is no number is found here.
        return address.scheme in {"http", "https"} and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        return False
