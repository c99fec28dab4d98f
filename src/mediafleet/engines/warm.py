"""Engines that stay loaded: one process each, started when first needed, started again when it died, ended when idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import structlog

from mediafleet.domain.errors import MediafleetError, TransientFailure
from mediafleet.engines.gpu import check_gpu_room, read_free_bytes
from mediafleet.engines.hosted import HostedProcess, describe_exit
from mediafleet.engines.offer import Offer
from mediafleet.engines.wire import Answer, Failed, Load, Part, Request, as_error

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WarmLimits:
    """What the process of an engine may take."""

    memory_bytes: int = 0
    """What it may reserve to write to, bytes; 0 for any amount."""
    idle_s: float = 600.0
    """After so long without a request it is ended, seconds."""
    load_s: float = 300.0
    """Longest loading of a model, seconds."""
    answer_s: float = 3600.0
    """Longest wait for one answer, or one part of it, seconds."""


class WarmEngine:
    """One engine with its process. Owned by `WarmEngines`, or by whoever closes it."""

    def __init__(
        self,
        offer: Offer,
        limits: WarmLimits | None = None,
        *,
        hook: Callable[[], Callable[[], None]] | None = None,
        free_gpu_bytes: Callable[[], int | None] = read_free_bytes,
    ) -> None:
        """Start nothing yet.

        Args:
            offer: What to load.
            limits: What it may take.
            hook: Returns what is run between fork and exec, as `Containment.hook` does.
            free_gpu_bytes: Tells what is free on graphics cards before each loading.
        """
        self.offer = offer
        self._limits = limits or WarmLimits()
        self._hook = hook
        self._free_gpu_bytes = free_gpu_bytes
        self._turn = asyncio.Lock()
        self._process: HostedProcess | None = None
        self._facts = msgspec.Raw(msgspec.msgpack.encode({}))
        self._timer: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that has it loaded; None where none runs."""
        return self._process.pid if self._process and self._process.is_running else None

    async def load(self, facts: type[T]) -> T:
        """Load it unless it is, and return what it says of itself.

        Raises:
            MediafleetError: As `ask`.
        """
        async with self._turn:
            await self._make_ready()
            self._note_use()
            return msgspec.msgpack.decode(self._facts, type=facts)

    async def ask(self, request: Request, answer: type[T]) -> T:
        """Ask one thing; requests of several callers wait for each other.

        Args:
            request: What the engine's role can answer.
            answer: The type that `mediafleet.engines.wire` names for it.

        Raises:
            TransientFailure: The process died or took too long; the next request starts it again.
            CapabilityMissing: A graphics card has no room for it now.
            MediafleetError: What the engine raised.

        Cancelling ends the process, because nothing else ends a call of a library; utterances that it followed are lost.
        """
        async with self._turn, self._asking(request) as process:
            reply = await self._receive(process, self._limits.answer_s)
            while isinstance(reply, Part):
                reply = await self._receive(process, self._limits.answer_s)
        return msgspec.msgpack.decode(_value(reply), type=answer)

    async def ask_for_parts(self, request: Request, part: type[T]) -> AsyncGenerator[T]:
        """Ask for something that comes in parts; yield each when it is there.

        Raises:
            MediafleetError: As `ask`. Closing the generator early ends the process.
        """
        async with self._turn, self._asking(request) as process:
            while isinstance(reply := await self._receive(process, self._limits.answer_s), Part):
                yield msgspec.msgpack.decode(reply.value, type=part)
        _value(reply)

    async def close(self) -> None:
        """End the process, at the latest after the request that is answered now; what is asked later starts it again."""
        async with self._turn:
            await self._unload()

    @asynccontextmanager
    async def _asking(self, request: Request) -> AsyncGenerator[HostedProcess]:
        process = await self._make_ready()
        try:
            await self._send(process, request)
            yield process
        except BaseException:
            # The rest of the answer may still come, and nobody may take it for another's.
            await asyncio.shield(self._kill())
            raise
        finally:
            self._note_use()

    async def _make_ready(self) -> HostedProcess:
        if self._process and self._process.is_running:
            return self._process
        await self._kill()
        if self.offer.gpu_bytes:
            check_gpu_room(self.offer, await asyncio.to_thread(self._free_gpu_bytes))
        self._process = await HostedProcess.start(self._hook() if self._hook else None)
        try:
            await self._send(self._process, Load(self.offer, self._limits.memory_bytes))
            self._facts = _value(await self._receive(self._process, self._limits.load_s))
        except BaseException:
            await asyncio.shield(self._kill())
            raise
        _log.info("an engine is loaded", engine=self.offer.adapter, model=self.offer.model, pid=self._process.pid)
        return self._process

    async def _send(self, process: HostedProcess, request: Request) -> None:
        try:
            await process.send(request)
        except ConnectionError as error:
            raise await self._explain_end(process) from error

    async def _receive(self, process: HostedProcess, within_s: float) -> Answer:
        try:
            async with asyncio.timeout(within_s):
                return await process.receive()
        except EOFError as error:
            raise await self._explain_end(process) from error
        except TimeoutError as error:
            raise TransientFailure(
                f"The engine {self.offer.adapter} did not answer in time ({within_s:g} s)."
            ) from error

    async def _explain_end(self, process: HostedProcess) -> TransientFailure:
        code = await process.kill()
        _log.warning("an engine died", engine=self.offer.adapter, pid=process.pid, code=code)
        return TransientFailure(
            f"The engine {self.offer.adapter} {describe_exit(code)} in the middle of its work; it starts again when needed.",
            detail=process.last_words,
        )

    def _note_use(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._limits.idle_s, self._begin_unloading)

    def _begin_unloading(self) -> None:
        # In use, and so it will be noted again; or ended already.
        if not self._turn.locked() and self._process:
            self._unloading = asyncio.create_task(self.close(), name=f"unload {self.offer.adapter}")

    async def _unload(self) -> None:
        if self._timer:
            self._timer.cancel()
        process, self._process = self._process, None
        if process:
            await process.end()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process:
            await process.kill()


class WarmEngines:
    """The engines of one executor, each loaded once. Used as `async with`; at its end all have ended."""

    def __init__(
        self, limits: WarmLimits | None = None, *, hook: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        self._limits = limits
        self._hook = hook
        self._engines: dict[Offer, WarmEngine] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def get(self, offer: Offer) -> WarmEngine:
        """Return the engine of that offer, loaded or not."""
        if offer not in self._engines:
            self._engines[offer] = WarmEngine(offer, self._limits, hook=self._hook)
        return self._engines[offer]

    async def prove(self, offers: Iterable[Offer]) -> Proof:
        """Load each once, one after the other, and end it again; capabilities are said only of what loads.

        What is loaded already is proved and stays.
        """
        capabilities: set[str] = set()
        faults: dict[str, str] = {}
        for offer in offers:
            engine = self.get(offer)
            was_loaded = engine.pid is not None
            try:
                facts = await engine.load(_Known)
            except MediafleetError as error:
                faults[" ".join(filter(None, [offer.adapter, offer.model]))] = error.message
                continue
            capabilities.update(_name_languages(offer, facts).capabilities)
            if not was_loaded:
                await engine.close()
        return Proof(tuple(sorted(capabilities)), faults)

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))


@dataclass(frozen=True)
class Proof:
    """What a machine's engines were found to do."""

    capabilities: tuple[str, ...]
    """Sorted."""
    faults: Mapping[str, str]
    """Engine and model, and in one sentence why it does not load."""


class _Known(msgspec.Struct):
    """What all facts that name languages have in common."""

    languages: tuple[str, ...] = ()


def _name_languages(offer: Offer, facts: _Known) -> Offer:
    """Return an offer with the languages that the loaded engine names, where nobody knew them before."""
    if offer.languages or not facts.languages:
        return offer
    return msgspec.structs.replace(offer, languages=facts.languages)


def _value(reply: Answer) -> msgspec.Raw:
    if isinstance(reply, Failed):
        raise as_error(reply.error)
    return reply.value
