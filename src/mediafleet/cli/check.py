"""`mediafleet check`: what is installed, what is reachable, what this machine can do."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet import __version__
from mediafleet.artifacts.buckets import Bucket, is_object_address
from mediafleet.cli._local import find_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import FAILED, run_client
from mediafleet.client import FleetClient
from mediafleet.domain.catalogue import read_catalogue
from mediafleet.domain.cells import cell_names
from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.path_map import PathMap
from mediafleet.kinds.registry import GROUP, KindRegistry
from mediafleet.node.containment import Containment, contain, describe
from mediafleet.node.engines import open_engines
from mediafleet.node.executors import (
    CapabilityMemory,
    Offer,
    build_executors,
    count_cores,
    detect_offer,
    find_unknown_sorts,
)
from mediafleet.node.guard import choose_guard
from mediafleet.node.processes import Launcher
from mediafleet.node.workspace import Workspaces
from mediafleet.scheduler.catalogue import fetch_catalogue, read_file, shown_address
from mediafleet.scheduler.object_inputs import access_of
from mediafleet.store.connection import connect
from mediafleet.store.replication import find_risk
from mediafleet.store.server_binary import find_server

if TYPE_CHECKING:
    from mediafleet.domain.node import Executor
    from mediafleet.ops.settings import Settings

_NO_OPTIONS = ClientOptions()
_ENCODER = "encoder:"
_DETECT_GRACE_S = 2.0


@dataclass
class Finding:
    """One thing that was looked at."""

    topic: str
    text: str
    is_good: bool = True
    is_needed: bool = True
    """Without it a fleet could not work here."""


@dataclass
class Report:
    """All that was found."""

    findings: list[Finding] = field(default_factory=list[Finding])
    executors: tuple[Executor, ...] = ()
    missing: dict[str, str] = field(default_factory=dict[str, str])
    facts: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def is_good(self) -> bool:
        """Whether a fleet could work here, and the one that was named does."""
        return all(finding.is_good for finding in self.findings if finding.is_needed)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON shows it."""
        return {
            "ok": self.is_good,
            "checks": [
                {"topic": one.topic, "ok": one.is_good, "needed": one.is_needed, "text": one.text}
                for one in self.findings
            ],
            "facts": self.facts,
            "executors": [
                {"name": one.name, "slots": one.slots, "capabilities": list(one.capabilities)} for one in self.executors
            ],
            "missing": self.missing,
        }


def check(*, options: ClientOptions = _NO_OPTIONS) -> int:
    """Say what is installed, what is reachable and what this machine can do.

    Tries every encoder with a few frames, so it takes some seconds. Exit 1 if a fleet could not work here, or if
    the scheduler that --server names does not answer.

    Args:
        options: Shared options.
    """
    output = Output(as_json=options.json)
    return run_client(_check(options, output), output, debug=options.debug)


async def _check(options: ClientOptions, output: Output) -> int:
    settings = options.settings()
    report = Report()
    report.findings += [
        Finding("mediafleet", __version__),
        Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        *await look_at_store(settings),
        *look_at_kinds(),
        *await look_at_catalogue(settings),
        *await look_at_artifacts(settings),
        *await asyncio.to_thread(look_at_paths, settings),
    ]
    await look_at_machine(settings, report)
    report.findings.append(await look_at_fleet(options, settings))
    output.document(report.document())
    tell(report, output)
    return 0 if report.is_good else FAILED


async def look_at_store(settings: Settings) -> list[Finding]:
    """Return which Redis would be used, whether it can be, and what its fail-over could lose."""
    url = settings.store.redis_url
    if not url:
        try:
            server = await asyncio.to_thread(find_server)
        except MediafleetError as error:
            return [Finding("store", error.message, is_good=False)]
        major, minor = server.version
        return [Finding("store", f"{server.path} {major}.{minor} (from {server.origin}), started privately")]
    store = settings.store
    risks: list[str | None] = []
    try:
        # In a cluster, each cell may be on another server.
        for cell in cell_names(store.cells, only=store.cell):
            redis = connect(url, prefix=store.prefix, cell=cell)
            try:
                await redis.ping()  # pyright: ignore[reportUnknownMemberType] - its stubs mix both kinds of client
                risks.append(await find_risk(redis, url))
            finally:
                await redis.aclose()
    except Exception as error:  # noqa: BLE001 - whatever the library raises means the same: not usable
        return [Finding("store", f"The Redis server that is configured does not answer: {error}.", is_good=False)]
    findings = [Finding("store", "the configured Redis server answers")]
    told = dict.fromkeys(risk for risk in risks if risk is not None)
    # Warnings: a fleet works, until the day of the fail-over.
    return findings + [
        Finding("fail-over", risk or "replicas confirm writes", is_good=not risk, is_needed=False) for risk in told
    ]


def look_at_kinds() -> list[Finding]:
    """Return each installed job kind with the package entry that names it, or why it does not load."""
    findings: list[Finding] = []
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            kind = point.load()
        except Exception as error:  # noqa: BLE001 - the boundary to foreign packages: any fault of theirs is told
            findings.append(Finding(f"kind {point.name}", f"{point.value} does not load: {error}.", is_good=False))
        else:
            findings.append(Finding(f"kind {point.name}", f"{kind.summary} ({point.value})"))
    return findings or [Finding("kinds", "No job kind is installed; install mediafleet again.", is_good=False)]


async def look_at_catalogue(settings: Settings) -> list[Finding]:
    """Return whether each source of the catalogue that is configured can be read; a fleet works without any."""
    findings: list[Finding] = []
    configured = settings.catalogue
    for place, read in (
        (shown_address(configured.url), lambda: fetch_catalogue(configured)),
        (configured.file, lambda: asyncio.to_thread(read_file, configured)),
    ):
        if not place:
            continue
        try:
            found = await read()
            body = found if isinstance(found, bytes) else found.body or b""
            count = len(read_catalogue(body).services)
            findings.append(Finding("catalogue", f"{place}: {count} {'service' if count == 1 else 'services'}"))
        except MediafleetError as error:
            findings.append(Finding("catalogue", error.message, is_good=False, is_needed=False))
    return findings


async def look_at_artifacts(settings: Settings) -> list[Finding]:
    """Return whether an object store that holds artifacts can be written and read; a folder is made when it is needed."""
    root = settings.artifacts.root
    if not is_object_address(root):
        return []
    try:
        await Bucket(root, access_of(settings.artifacts)).probe(f".check-{secrets.token_hex(8)}")
    except MediafleetError as error:
        return [Finding("artifacts", error.message, is_good=False)]
    return [Finding("artifacts", f"{root} can be written and read")]


def look_at_paths(settings: Settings) -> list[Finding]:
    """Return whether each folder that is mapped can be read here; inputs of one that cannot are fetched instead."""
    findings: list[Finding] = []
    for folder, here in PathMap(settings.node.paths).folders:
        is_good = here.is_dir() and os.access(here, os.R_OK | os.X_OK)
        text = (
            f"{folder} is {here} here" if is_good else f"{here}, which {folder} is here, is no folder that can be read"
        )
        findings.append(Finding("paths", text, is_good=is_good, is_needed=False))
    return findings


async def look_at_machine(settings: Settings, report: Report) -> None:
    """Fill in what a node on this machine would offer."""
    try:
        with closing(await asyncio.to_thread(contain, settings.node)) as containment:
            report.findings += look_at_containment(containment)
            offer = await _detect(settings, containment)
        report.executors = build_executors(settings.node, offer, cores=count_cores())
    except MediafleetError as error:
        report.findings.append(Finding("node", error.message, is_good=False))
        return
    report.facts, report.missing = dict(offer.facts), dict(offer.missing)
    broken = {name: reason for name, reason in offer.missing.items() if name.startswith("kind:")}
    report.findings += [Finding(name, reason, is_good=False) for name, reason in broken.items()]
    report.findings += [Finding(name, text) for name, text in offer.facts.items()]
    unknown = find_unknown_sorts(settings.node, offer).items()
    report.findings += [Finding(name, reason, is_good=False, is_needed=False) for name, reason in unknown]
    for one in report.executors:
        report.findings.append(Finding(f"executor {one.name}", f"{one.slots} slots: {' '.join(one.capabilities)}"))


def look_at_containment(containment: Containment) -> list[Finding]:
    """Return what programs that work on media may take of this machine, and whether they reach its network."""
    isolation = containment.isolation
    network = "none" if isolation.is_on else f"they reach it: {isolation.reason}"
    return [
        Finding("limits of media programs", describe(containment)),
        Finding("network of media programs", network, is_good=isolation.is_on, is_needed=False),
    ]


async def _detect(settings: Settings, containment: Containment) -> Offer:
    """Run the detection of a node, in a folder of its own so that a node which runs here is not disturbed."""
    guard = choose_guard()
    try:
        with tempfile.TemporaryDirectory(prefix="mediafleet-check-") as name:
            workspaces = Workspaces(Path(name) / "work")
            workspaces.sweep()
            launcher = Launcher(guard, environment=os.environ, grace_s=_DETECT_GRACE_S, containment=containment)
            # A new memory each time: what works now is the question, not what once did.
            memory = CapabilityMemory(Path(name) / "capabilities.json")
            kinds = KindRegistry.installed()
            async with open_engines(settings.engines, launcher, memory=Path(name) / "engines.json") as engines:
                return await detect_offer(
                    kinds, workspaces=workspaces, launcher=launcher, memory=memory, engines=engines
                )
    finally:
        guard.close()


async def look_at_fleet(options: ClientOptions, settings: Settings) -> Finding:
    """Return whether the fleet that client commands would use answers; one that is not up is no fault."""
    if options.server:
        async with FleetClient(options.server, settings.server.token) as client:
            try:
                return Finding("fleet", _describe(client.base_url, await client.stats()))
            except MediafleetError as error:
                return Finding("fleet", error.message, is_good=False)
    record = await find_fleet(settings.data)
    if record is None:
        text = f"none runs on {settings.data}; commands start one when they need it"
        return Finding("fleet", text, is_good=False, is_needed=False)
    async with FleetClient(record.url, settings.server.token or record.token) as client:
        return Finding("fleet", _describe(record.url, await client.stats()))


def _describe(url: str, stats: dict[str, Any]) -> str:
    nodes: dict[str, int] = stats.get("nodes", {})
    return f"{url} answers; nodes: {', '.join(f'{count} {state}' for state, count in nodes.items()) or 'none'}"


def encoder_rows(report: Report) -> list[tuple[str, str, str]]:
    """Return each encoder that was tried, whether it works, and why not; those that work stand first."""
    offered = {name for one in report.executors for name in one.capabilities if name.startswith(_ENCODER)}
    # A word for "any of these" is no encoder.
    working = sorted(name.removeprefix(_ENCODER) for name in offered if "@" not in name)
    failed = sorted(name for name in report.missing if name.startswith(_ENCODER))
    rows = [(name, "yes", "a test encode succeeded") for name in working]
    return rows + [(name.removeprefix(_ENCODER), "no", report.missing[name]) for name in failed]


def tell(report: Report, output: Output) -> None:
    """Print the report for people."""
    for one in report.findings:
        mark = "✓" if one.is_good else "✗" if one.is_needed else "–"
        output.say(f"{mark} {one.topic}: {one.text}")
    if rows := encoder_rows(report):
        output.table(("ENCODER", "WORKS", "REASON"), rows, empty="")
    for name, reason in sorted(report.missing.items()):
        if not name.startswith(("kind:", _ENCODER)):
            output.say(f"– {name}: {reason}")
    output.say("A fleet can work here." if report.is_good else "A fleet cannot work here; see the lines with ✗.")
