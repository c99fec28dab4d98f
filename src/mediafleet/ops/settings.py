"""Every setting with its default, unit and meaning: one frozen dataclass a component.

`mediafleet.ops.config` fills them from file, environment and flags; components get their own and
never read the environment. `docs/reference/config.md` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_DATA_DIRECTORY = Path("~/.local/share/mediafleet")
DEFAULT_PORT = 8000
DEFAULT_PRESET_DIRECTORY = Path("~/.config/mediafleet/presets")
DEFAULT_MODEL_DIRECTORY = Path("~/.local/share/mediafleet/models")


@dataclass(frozen=True)
class StoreSettings:
    """Where all shared state lives."""

    redis_url: str = ""
    """`redis://`, `rediss://`, `unix://`, `redis+sentinel://host,host/service` or `redis+cluster://host,host`; empty for a private server."""
    prefix: str = "sched"
    """First word of every key."""
    cell: str = "0"
    """Cell that this instance serves, 1 to 16 of a-z and 0-9."""
    cells: int = 1
    """Partitions of nodes and jobs, 1 to 64, for fleets that one Redis server cannot serve; fixed when a store is begun."""
    durability: Literal["everysec", "always"] = "everysec"
    """When the private server syncs its append-only file: each second, or before each answer."""


@dataclass(frozen=True)
class SchedulerSettings:
    """How work is placed, followed and recovered."""

    reservation_ms: int = 5_000
    """Life of a reservation that no ACK confirms, milliseconds."""
    heartbeat_ms: int = 5_000
    """How often a node reports, milliseconds."""
    headroom_percent: int = 25
    """A node gets new work only while so much of its processor, memory, disk and GPU is free, per cent; 0 to look away."""
    require_gpu: bool = False
    """Refuse nodes that offer no `hw:` capability, with the reason."""
    breaker_failures: int = 5
    """After so many failures in a row, each of another job, an executor gets no tasks of the kind; 0 for never."""
    breaker_cool_ms: int = 30_000
    """How long that is the first time, milliseconds; then one task decides, and each time that it fails doubles it."""
    missing_ms: int = 30_000
    """How long an executor does without a capability that its node lacked, milliseconds; doubled each time in a row."""
    withheld_longest_ms: int = 600_000
    """Longest of both, milliseconds."""
    node_lease_ms: int = 15_000
    """How long a silent node keeps its work, milliseconds; at least 2 heartbeats."""
    live_grace_ms: int = 400
    """How long a node whose link closed has to come back before its live work goes elsewhere, milliseconds."""
    reap_ms: int = 500
    """How often ended leases, timers and retention are looked for, milliseconds."""
    outage_gap_ms: int = 3_000
    """A pause of the reaper longer than this, milliseconds, is an outage: nothing expires for one node lease after it."""
    backstop_ms: int = 2_000
    """How often queues are looked at without being asked to, milliseconds, jittered."""
    batch_every: int = 20
    """One of so many placements is for batch work, while any waits; the leader's counts for all instances."""
    hold_after_ms: int = 5_000
    """After so long without room, milliseconds, a task that needs several slots has an executor kept free for it."""
    hold_ms: int = 60_000
    """How long an executor is kept free at most, milliseconds."""
    max_kills: int = 2
    """A task that was at work on so many nodes when they died fails with the code `poison`; 0 for no limit."""
    max_open: int = 1_000_000
    """Most tasks that are not final; a submission beyond that is refused with 429, 0 for no bound."""
    max_open_per_tenant: int = 200_000
    """The same of each tenant, 0 for no bound."""
    max_open_live: int = 0
    """The same of the class live, 0 for no bound of its own."""
    max_open_interactive: int = 0
    """The same of the class interactive."""
    max_open_batch: int = 0
    """The same of the class batch."""
    tenants: tuple[str, ...] = ()
    """Shares of tenants as `name:weight` or `name:weight:cap`, cap in slots; others weigh 1 and have no cap."""
    push_nodes: tuple[str, ...] = ()
    """Nodes that listen, as `host:port` or `host:port:priority`: this instance calls them, or another that names them."""
    place_batch: int = 64
    """Most tasks one placing script takes, 1 to 64: more would hold the store for too long."""
    job_retention_s: int = 7 * 24 * 3600
    """How long a finished job and its artifacts are kept, seconds."""
    upload_retention_s: int = 24 * 3600
    """How long an upload that no job uses, or that nobody goes on with, is kept, seconds."""
    event_history: int = 10_000
    """About how many events are kept for clients that reconnect."""


@dataclass(frozen=True)
class NodeSettings:
    """One node agent."""

    scheduler: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    """Address of the scheduler; of several instances with commas between them, the first that answers is used."""
    listen: str = ""
    """`host:port` to listen on for schedulers that call this node, instead of calling one; port 0 for a free one."""
    api: str = ""
    """`host:port` of the node's own HTTP API, port 0 for a free one; 127.0.0.1:9000 where it has a master and this is empty, else none."""
    name: str = ""
    """Shown name; the machine's host name where empty."""
    slots: int = 0
    """Slots of the `cpu` executor; 0 for one a core, but at most 4, since FFmpeg uses several cores itself."""
    encoder_slots: tuple[str, ...] = ()
    """Slots that an encoder has of its own and does not share, as `libsvtav1:1`; `hardware:3` for all that need a graphics card."""
    live_reserve: int = 0
    """Slots of the `cpu` executor that batch work may not take."""
    priority: int = 0
    """Larger goes first for jobs of the policy `priority`."""
    headroom: tuple[str, ...] = ()
    """Per cent of this machine that must be free for new work, as `disk:10`, where it differs from the fleet's; 0: look away."""
    warmup_after_ms: int = 3_000
    """Where looking for what this machine can do takes longer, milliseconds, the node joins meanwhile, as `warmup`."""
    labels: tuple[str, ...] = ()
    """Words that become capabilities `label:<word>`."""
    replace_roots: tuple[str, ...] = ()
    """Folders in which originals may be replaced by their results (`--replace`); none where empty. With `up` on
    loopback and nothing named, those that may be read."""
    reconnect_min_ms: int = 200
    """First wait after a lost link, milliseconds; doubles with jitter up to `reconnect_max_ms`."""
    reconnect_max_ms: int = 5_000
    """Longest wait after a lost link, milliseconds."""
    paths: tuple[str, ...] = ()
    """Folders that inputs are named in and that are elsewhere on this machine, as a table `{ "/mnt/media" = "M:/media" }` or as `/mnt/media=M:/media`."""
    cache_bytes: int = 20 * 1024**3
    """How much of what was fetched is kept for later tasks, bytes, and never more than leaves 30 % of the disk free; 0 for nothing."""
    drain_s: int = 3600
    """How long SIGTERM waits for running work, seconds; a second signal aborts."""
    stop_grace_ms: int = 2_000
    """How long a child may take to end when asked, milliseconds; then its group is killed."""
    spare_children: int = 2
    """Children that wait for work, of each script that tasks use: started before they are needed, one use each; 0 for none."""
    child_isolation: Literal["auto", "required", "off"] = "auto"
    """Programs that work on media get no network: where the system permits it, or else the node does not start, or never."""
    child_memory_percent: int = 200
    """Memory that it may reserve, per cent of the machine's, at least 8 GiB; encoders use half of it (Linux only); 0 for no limit."""
    child_file_gib: int = 1024
    """Largest file that it may write, GiB; 0 for no limit."""
    child_cpu_hours: int = 720
    """Processor time that it may take, hours of one core; 0 for no limit."""
    child_open_files: int = 1024
    """Files that it may have open at a time, at least 64; 0 for no limit."""
    child_nice: int = 5
    """How far it stands back for other programs, 0 to 19: the node itself and whoever works at the machine go first."""
    child_io: Literal["normal", "low", "idle"] = "low"
    """Its turn at the disk (Linux only); `idle` waits until nobody else reads or writes."""


@dataclass(frozen=True)
class MasterSettings:
    """A SignalR master of another fleet that a node works for, beside or in place of a scheduler."""

    url: str = ""
    """Address of its hub, `https://host/signalrhub`; empty for none."""
    token: str = field(default="", repr=False)
    """Credential that the hub asks for; sent nowhere but to the address in `url`, or where that is empty to any that is set later."""
    retry_s: int = 5
    """Pause before a master that is away is tried again, seconds."""
    retries: int = 10
    """After so many attempts in vain the pause doubles with each, up to `retry_longest_s`."""
    retry_longest_s: int = 300
    """Longest pause, seconds."""
    tasks: int = 1
    """How many tasks at once the master is told that there is room for; more are taken all the same, and wait."""
    language: str = "auto"
    """What is spoken in its films, ISO 639-1, or `auto` to find out."""
    roots: tuple[str, ...] = ()
    """Folders in which it may name films to be read and files to be written; anywhere where empty."""
    keep_s: int = 7 * 24 * 3600
    """How long a result is kept for a master that does not take it, seconds."""


@dataclass(frozen=True)
class ServerSettings:
    """The address that people, programs and nodes reach."""

    host: str = "127.0.0.1"
    """Bind address; anything but loopback needs a token."""
    port: int = DEFAULT_PORT
    """Bind port; 0 for a free one."""
    # Not part of what is shown: settings turn up in log lines and in tracebacks.
    token: str = field(default="", repr=False)
    """Credential that every route and socket asks for; made at first start where the address is not loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Further host names that browsers may use to reach a loopback address."""


@dataclass(frozen=True)
class SignalrSettings:
    """The hub at `/signalrhub`, for workers and programs that speak SignalR."""

    message_bytes: int = 32 * 1024
    """Largest message that a client may send, bytes; a larger one ends its connection."""
    ping_ms: int = 15_000
    """How long the hub may be silent before it sends a ping, milliseconds."""
    client_timeout_ms: int = 30_000
    """How long a client may be silent, or away before a stateful reconnect, milliseconds; at least 2 pings."""
    handshake_ms: int = 15_000
    """How long a client has for its first message, and to connect after negotiation, milliseconds."""
    queue_bytes: int = 1024 * 1024
    """How much may wait for a client that does not read, bytes; beyond that it is sent away."""
    replay_bytes: int = 100_000
    """How much is kept of what a client did not acknowledge, for stateful reconnects, bytes."""
    task_timeout_s: int = 3_600
    """Longest run of a task of `/api/tasks` on a worker, seconds; then it is tried again."""
    retries: int = 3
    """How often such a task is tried again after it failed."""
    worker_timeout_ms: int = 60_000
    """How long a worker whose connection is gone keeps its tasks, milliseconds; then others get them."""
    resume_ms: int = 60_000
    """How long a worker that came back may be silent about a task that it had, milliseconds; then another gets it."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may connect where no token is asked for, `https://studio.example`."""


@dataclass(frozen=True)
class ArtifactSettings:
    """Where bytes live."""

    root: str = ""
    """Folder of artifacts, or address of an object store, `s3://bucket/prefix`, `gs://…` or `az://…`; the same one for all instances of a store; `<data>/artifacts` where empty."""
    endpoint: str = ""
    """Address of an object store that is not its provider's own, `http://host:port`; nodes must reach it too, or all bytes go through the scheduler."""
    region: str = ""
    """Region of an S3 bucket; `AWS_REGION` where empty."""
    access_key: str = ""
    """Access key of S3, account of Azure; `AWS_ACCESS_KEY_ID` and the like where empty."""
    secret_key: str = field(default="", repr=False)
    """Secret key of S3, key of the Azure account, service account of GCS (JSON); `AWS_SECRET_ACCESS_KEY` and the like where empty."""
    file_roots: tuple[str, ...] = ()
    """Folders whose files may be named as `file://` inputs; on loopback everything, elsewhere nothing where empty."""
    object_roots: tuple[str, ...] = ()
    """Addresses such as `s3://media` below which objects may be named as inputs; on loopback all, elsewhere none where empty."""
    max_upload_bytes: int = 1 << 40
    """Largest upload, bytes."""


@dataclass(frozen=True)
class CatalogueSettings:
    """Which services and models provide which features."""

    url: str = ""
    """Address of a catalogue document, `https://…`; empty for none."""
    file: str = ""
    """Local file with the same document, used until the address has answered."""
    refresh_s: int = 3600
    """How often both are looked at again, seconds, jittered."""
    timeout_ms: int = 10_000
    """How long the address may take, milliseconds."""
    max_bytes: int = 4 * 1024 * 1024
    """Largest document that is read, bytes."""


@dataclass(frozen=True)
class TranscodeSettings:
    """What may be asked of a transcode."""

    presets: str = ""
    """Folder of presets of your own, one TOML file each; `~/.config/mediafleet/presets` where empty."""


@dataclass(frozen=True)
class EndpointSettings:
    """An OpenAI-compatible service that does one sort of work on speech or text."""

    url: str = ""
    """With the version, as `http://127.0.0.1:8080/v1`; none where empty."""
    model: str = ""
    """As the service calls it; its own choice where empty."""
    key: str = field(default="", repr=False)
    """Sent as a bearer token; none where empty."""
    languages: tuple[str, ...] = ()
    """What it is good for, ISO 639-1, or pairs as `en>es` of one that translates; any where empty."""
    tones: tuple[str, ...] = ()
    """Of one that speaks: tones that it knows, as `calm`; `any` where it follows instructions in words."""


@dataclass(frozen=True)
class EngineSettings:
    """Speech engines of a node, each in a process of its own."""

    enabled: bool = True
    """Whether a node looks for engines at all; each that it finds is loaded once, when they are looked for the first time."""
    models: str = ""
    """Folder of models, with one for each engine; `~/.local/share/mediafleet/models` where empty."""
    memory_gib: int = 8
    """Memory that one process may reserve, GiB (Linux only); 0 for any amount."""
    processes: int = 0
    """Most processes of one model on one executor, for engines that use one core each; 0 for as many as the executor has slots."""
    idle_s: int = 600
    """After so many seconds without work a process is ended, and its memory is free."""
    load_s: int = 300
    """Longest loading of a model, seconds."""
    answer_s: int = 3_600
    """Longest wait for one answer, seconds."""
    recognize: EndpointSettings = field(default_factory=EndpointSettings)
    """A service that writes down what is spoken."""
    repair: EndpointSettings = field(default_factory=EndpointSettings)
    """A service that puts casing and punctuation right."""
    translate: EndpointSettings = field(default_factory=EndpointSettings)
    """A service that translates."""
    synthesize: EndpointSettings = field(default_factory=EndpointSettings)
    """A service that speaks."""


@dataclass(frozen=True)
class LogSettings:
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written."""
    format: Literal["auto", "text", "console", "json"] = "auto"
    """`auto` writes text to a terminal and JSON elsewhere; `console` is another word for `text`."""


@dataclass(frozen=True)
class SlowSettings:
    """From when on a critical section of a scheduler instance is worth a warning."""

    script_ms: int = 100
    """Round trip of one store script, milliseconds."""
    settle_ms: int = 500
    """Writing one batch of what nodes said, milliseconds."""
    place_ms: int = 500
    """Placing what can be placed, milliseconds."""
    plan_ms: int = 500
    """Asking a kind what comes next for one job, and storing it, milliseconds."""
    loop_ms: int = 100
    """How late the event loop may wake a timer, milliseconds."""
    every_s: int = 60
    """At most one line in so many seconds is written of each; the metrics count all of them."""


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one process."""

    data: Path = DEFAULT_DATA_DIRECTORY
    """Data directory: the private store, artifacts, the node's outbox."""
    store: StoreSettings = field(default_factory=StoreSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    node: NodeSettings = field(default_factory=NodeSettings)
    master: MasterSettings = field(default_factory=MasterSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    signalr: SignalrSettings = field(default_factory=SignalrSettings)
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    catalogue: CatalogueSettings = field(default_factory=CatalogueSettings)
    transcode: TranscodeSettings = field(default_factory=TranscodeSettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    log: LogSettings = field(default_factory=LogSettings)
    slow: SlowSettings = field(default_factory=SlowSettings)
