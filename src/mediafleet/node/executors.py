"""What a node offers: its executors, built from its settings and from what its kinds detected."""

from __future__ import annotations

import asyncio
import os
import platform
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import structlog

from mediafleet.artifacts.originals import CAPABILITY
from mediafleet.domain.capability import check_capabilities
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.node import MAX_SLOTS, Executor
from mediafleet.kinds.seam import Detected
from mediafleet.node.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mediafleet.kinds.seam import ChildProcess, Kind
    from mediafleet.node.engines import NodeEngines
    from mediafleet.node.processes import Children, Launcher
    from mediafleet.node.workspace import Workspaces
    from mediafleet.ops.settings import NodeSettings

MAIN = "cpu"
"""The executor that every node has."""
MOST_DEFAULT_SLOTS = 4
"""FFmpeg uses several cores itself: more tasks at a time only thrash."""
_SORT_SLOTS = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,39}):(?P<slots>\d{1,4})")
_MOST_REMEMBERED = 500
_DETECT_S = 120.0
"""How long one kind's detection may take: dozens of short test encodes on a slow machine."""

_log = structlog.get_logger(__name__)


@dataclass
class Offer:
    """What was found on this machine, all kinds together."""

    capabilities: set[str] = field(default_factory=set[str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """Capability → sentence that says why it was not granted."""
    facts: dict[str, str] = field(default_factory=dict[str, str])
    sorts: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Sorts of work that may have slots of their own; see `Detected`."""


class CapabilityMemory:
    """A JSON file of what detection found before; losing it only costs time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = {}
        try:
            self._values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, OSError) as error:
            _log.warning("remembered capabilities are unreadable; they are detected anew", reason=str(error))

    def recall(self, key: str) -> Any | None:
        """Return what was kept under the key."""
        return self._values.get(key)

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value under the key."""
        self._values[key] = value
        # What is no longer there is not asked for any more, and stays behind.
        for oldest in list(self._values)[:-_MOST_REMEMBERED]:
            del self._values[oldest]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Nodes of one machine share the file that says which engines load.
            write_durably(self._path, msgspec.json.encode(self._values), writer=f".{os.getpid()}")
        except OSError as error:
            _log.warning("detected capabilities could not be kept", path=str(self._path), reason=str(error))


class Detection:
    """Implements `mediafleet.kinds.seam.DetectContext` for one kind."""

    def __init__(self, workspace: Path, children: Children, memory: CapabilityMemory) -> None:
        self.workspace = workspace
        self._children = children
        self.recall = memory.recall
        self.remember = memory.remember

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell, with empty standard input and a clean environment."""
        return await self._children.start(arguments, cwd=cwd)

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a script of a kind."""
        return await self._children.start_script(script, arguments)


async def detect_offer(
    kinds: Iterable[Kind],
    *,
    workspaces: Workspaces,
    launcher: Launcher,
    memory: CapabilityMemory,
    engines: NodeEngines | None = None,
) -> Offer:
    """Ask every kind what it finds, and every engine whether it loads.

    A kind whose detection fails is not offered, and `missing` says why.
    """
    offer = Offer()
    if engines is not None:
        await _look_at_engines(engines, offer)
    for kind in kinds:
        try:
            async with (
                asyncio.timeout(_DETECT_S),
                workspaces.open(f"detect-{kind.name}") as workspace,
                launcher.children(workspace) as children,
            ):
                found = await kind.detect(Detection(workspace, children, memory))
            # A kind may say that it cannot run here at all, and a task that needs nothing but the kind must not come.
            own = frozenset[str]() if f"kind:{kind.name}" in found.missing else kind.capabilities
            granted = check_capabilities({*own, *found.capabilities} - found.missing.keys())
        except Exception as error:  # noqa: BLE001 - plug-in boundary: one kind's fault must not keep the node down
            _log.warning("detection failed; the kind is not offered", kind=kind.name, reason=repr(error))
            found, granted = Detected(missing={f"kind:{kind.name}": f"Its detection failed: {error!r}."}), ()
        offer.capabilities.update(granted)
        offer.missing.update(found.missing)
        offer.facts.update(found.facts)
        offer.sorts.update(found.sorts)
    return offer


async def _look_at_engines(engines: NodeEngines, offer: Offer) -> None:
    try:
        proof = await engines.look()
        granted = check_capabilities(proof.capabilities)
    except Exception as error:  # noqa: BLE001 - plug-in boundary: an engine's fault must not keep the node from other work
        _log.warning("looking for engines failed; none is offered", reason=repr(error))
        offer.missing["engine:any"] = f"Looking for engines failed: {error!r}."
        return
    offer.capabilities.update(granted)
    offer.missing.update({f"engine:{name}": fault for name, fault in proof.faults.items()})


def parse_encoder_slots(lines: Iterable[str]) -> dict[str, int]:
    """Return what `libsvtav1:1` says: how many slots a sort of work has of its own.

    Raises:
        InvalidRequest: One has another form, or no slots, or comes twice.
    """
    found: dict[str, int] = {}
    for line in lines:
        match = _SORT_SLOTS.fullmatch(line)
        if not match or match["name"] in {MAIN, *found} or not 0 < int(match["slots"]) <= MAX_SLOTS:
            raise InvalidRequest(
                f"{line!r} gives no encoder slots; write each once, as libsvtav1:1 or hardware:3, with 1 to {MAX_SLOTS}."
            )
        found[match["name"]] = int(match["slots"])
    return found


def build_executors(settings: NodeSettings, offer: Offer, *, cores: int) -> tuple[Executor, ...]:
    """Return the node's executors: `cpu`, and one for each sort of work that has slots of its own and works here.

    The first offers all but those sorts. Each other offers its sort, and what is of no sort: its tasks need that as well,
    and no other encoder may take its slots.

    Raises:
        InvalidRequest: A label cannot be a capability, or more slots are reserved than there are.
    """
    slots = settings.slots or min(MOST_DEFAULT_SLOTS, max(1, cores))
    labels = (f"label:{label}" for label in settings.labels)
    replacing = [CAPABILITY] if settings.replace_roots else []
    offered = frozenset(check_capabilities([*offer.capabilities, *labels, *replacing]))
    own = {name: count for name, count in parse_encoder_slots(settings.encoder_slots).items() if name in offer.sorts}
    common = offered.difference(*offer.sorts.values())
    main = offered.difference(*(offer.sorts[name] for name in own))
    found = [
        Executor(MAIN, slots, check_capabilities(main), live_reserve=settings.live_reserve, priority=settings.priority)
    ]
    for name, count in own.items():
        if moved := offered & offer.sorts[name]:
            found.append(Executor(name, count, check_capabilities(common | moved), priority=settings.priority))
    for executor in found:
        executor.check()
    return tuple(found)


def find_unknown_sorts(settings: NodeSettings, offer: Offer) -> dict[str, str]:
    """Return what no kind knows of the encoders that were given slots, as `missing` has it."""
    known = ", ".join(sorted(offer.sorts)) or "none at all"
    return {
        f"slots:{name}": f"No kind of this node has an encoder {name!r} to give slots to; there are {known}."
        for name in parse_encoder_slots(settings.encoder_slots)
        if name not in offer.sorts
    }


def count_cores() -> int:
    """Return how many cores this process may use."""
    # This process may have been given fewer cores than the machine has; macOS cannot say.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine(offer: Offer, gpus: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `register` tells of the machine."""
    return {
        # First, so that no kind can overwrite what the machine says of itself.
        **offer.facts,
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": count_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "missing": offer.missing,
        **({"gpus": list(gpus)} if gpus else {}),
    }
