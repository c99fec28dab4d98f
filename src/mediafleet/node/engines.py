"""The speech engines of one node: which of them load here, and the warm processes of each executor."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import CapabilityMissing, InvalidParams
from mediafleet.engines import EngineRegistry, Role
from mediafleet.engines.hosted import Tether
from mediafleet.engines.places import places_of
from mediafleet.engines.registry import capability_of
from mediafleet.engines.warm import Proof, WarmEngine, WarmEngines, WarmLimits
from mediafleet.node.executors import CapabilityMemory
from mediafleet.ops.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from mediafleet.engines.offer import Need, Offer
    from mediafleet.node.processes import Launcher

_GIB = 1 << 30
_EDITION = 2
"""Raised when engines are tried in another way, so that remembered answers are asked for anew."""


class ExecutorEngines:
    """The engines of one executor, for one attempt; implements `mediafleet.kinds.seam.Engines`."""

    def __init__(self, node: NodeEngines, warm: WarmEngines) -> None:
        self._node = node
        self._warm = warm
        self._needed: dict[Offer, str] = {}

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        """Return the best engine that loads here and does what is needed."""
        offer = self._node.find(need, adapter=adapter)
        self._needed[offer] = capability_of(need)
        return offer

    @contextmanager
    def lease(self, offer: Offer) -> Generator[WarmEngine]:
        """Yield the process to ask, for a whole piece of work."""
        with self._warm.lease(offer) as engine:
            try:
                yield engine
            except CapabilityMissing as error:
                # What this executor has not got for a while is what the task asked for, or it would come right back.
                raise CapabilityMissing(self._needed.get(offer, error.capability), error.message) from error


class NodeEngines:
    """All engines of a node. Made by `open_engines`, which ends their processes."""

    def __init__(self, registry: EngineRegistry, settings: EngineSettings, tether: Tether, memory: Path) -> None:
        self._registry = registry
        self._memory = memory
        self._processes = settings.processes
        self._tether = tether
        self._limits = WarmLimits(
            memory_bytes=settings.memory_gib * _GIB,
            idle_s=settings.idle_s,
            load_s=settings.load_s,
            answer_s=settings.answer_s,
        )
        self._proof = Proof((), {})
        self._warm: dict[str, WarmEngines] = {}

    async def look(self) -> Proof:
        """Find out what loads here; each model is loaded once, and what is remembered of it then counts until it changes."""
        memory = await asyncio.to_thread(CapabilityMemory, self._memory)
        offers = await asyncio.to_thread(self._registry.offers)
        keys = {offer: await asyncio.to_thread(_key_of, offer) for offer in offers}
        known = {
            offer: found
            for offer in offers
            # What a service says of itself costs nothing to ask, and its operator may change it.
            if offer.endpoint is None and (found := _recall(memory.recall(keys[offer]), offer))
        }
        async with WarmEngines(self._limits, tether=self._tether) as trial:
            proof = await trial.prove([offer for offer in offers if offer not in known])
        # In the order of their ranks, whether they were tried or remembered.
        proved = {_bare(offer): offer for offer in proof.offers}
        for offer in offers:
            if found := proved.get(_bare(offer)):
                memory.remember(keys[offer], [found.languages, found.detects_language, found.tones])
                known[offer] = found
        self._proof = Proof(tuple(known[offer] for offer in offers if offer in known), proof.faults)
        return self._proof

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        """Return the best engine that loads here and does what is needed. Raises CapabilityMissing."""
        fitting = [one for one in self._proof.offers if one.covers(need) and adapter in {"", one.adapter}]
        others = [one for one in self._proof.offers if one.role is need.role and one.adapter == adapter]
        if not fitting and others:
            # Another node has not got it either: what this engine knows does not depend on where it runs, but on its models.
            raise InvalidParams(f"{adapter} does not {need} on this node; it has {', '.join(map(_shown, others))}.")
        if not fitting:
            raise CapabilityMissing(capability_of(need), self._registry.explain(need, adapter=adapter))
        if need.role is Role.RECOGNIZE and not need.language:
            return next((one for one in fitting if one.detects_language), fitting[0])
        return fitting[0]

    def of(self, executor: str, *, most: int) -> ExecutorEngines:
        """Return the engines of an executor that runs so many tasks at a time at most."""
        if executor not in self._warm:
            copies = self._processes or most
            self._warm[executor] = WarmEngines(self._limits, copies=copies, tether=self._tether)
        return ExecutorEngines(self, self._warm[executor])

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*(warm.close() for warm in self._warm.values()))


@asynccontextmanager
async def open_engines(
    settings: EngineSettings | None, launcher: Launcher, *, memory: Path | None = None
) -> AsyncGenerator[NodeEngines]:
    """Yield the engines of a node; none of their processes lives longer than this block, or than the node.

    Args:
        settings: Where they are; None for none at all.
        launcher: Binds their processes as it does other children.
        memory: File in which it is remembered what loads here; that of this machine where not given.
    """
    tether = Tether(
        # The kernel keeps an engine from downloading anything, and from telling anybody what it hears.
        lambda offer: launcher.hook(is_online=offer.endpoint is not None),
        launcher.guard.forget,
    )
    is_on = settings is not None and settings.enabled
    registry = EngineRegistry.installed(places_of(settings)) if settings and is_on else EngineRegistry(())
    engines = NodeEngines(registry, settings or EngineSettings(), tether, memory or memory_file())
    try:
        yield engines
    finally:
        await engines.close()


def memory_file() -> Path:
    """Return where it is remembered what loads on this machine, for all its nodes."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mediafleet" / "engines.json"


def _shown(offer: Offer) -> str:
    return f"{offer.shown} ({', '.join(offer.languages or offer.pairs) or 'any language'})"


def _bare(offer: Offer) -> Offer:
    """Return an offer without what is only known once it is loaded."""
    return msgspec.structs.replace(offer, languages=(), detects_language=False, tones=())


def _key_of(offer: Offer) -> str:
    stamp = "\n".join(_stamps(Path(offer.place))) if offer.place and offer.endpoint is None else ""
    digest = hashlib.sha256(stamp.encode()).hexdigest()[:32]
    return f"{_EDITION}/{version('mediafleet')}/{offer.adapter}/{offer.model}/{offer.place}/{digest}"


def _stamps(place: Path) -> Iterator[str]:
    for path in [place, *(sorted(place.rglob("*")) if place.is_dir() else ())]:
        # A link that leads nowhere, or a file that is just being replaced.
        with suppress(OSError):
            status = path.stat()
            yield f"{path.name}:{status.st_size}:{status.st_mtime_ns}"


def _recall(remembered: Any, offer: Offer) -> Offer | None:
    try:
        languages, detects, tones = msgspec.convert(remembered, tuple[tuple[str, ...], bool, tuple[str, ...]])
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(offer, languages=languages, detects_language=detects, tones=tones)
