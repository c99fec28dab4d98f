"""Engines that stay loaded: one process each, started when first needed, started again when it died, ended when idle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import structlog

from mediafleet.domain.errors import MediafleetError, TransientFailure
from mediafleet.engines.gpu import check_gpu_room, read_free_bytes
from mediafleet.engines.hosted import HostedProcess, Tether, describe_exit
from mediafleet.engines.offer import Offer
from mediafleet.engines.wire import Answer, Failed, Load, Part, Request, as_error

T = TypeVar("T")

FREE = Tether()
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
        tether: Tether = FREE,
        free_gpu_bytes: Callable[[], int | None] = read_free_bytes,
    ) -> None:
        """Start nothing yet.

        Args:
            offer: What to load.
            limits: What it may take.
            tether: What its process is bound by.
            free_gpu_bytes: Tells what is free on graphics cards before each loading.
        """
        self.offer = offer
        self._limits = limits or WarmLimits()
        self._tether = tether
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
        self._process = await HostedProcess.start(self.offer, self._tether)
        try:
            await self._send(self._process, Load(self.offer, self._limits.memory_bytes))
            self._facts = _value(await self._receive(self._process, self._limits.load_s))
        except BaseException:
            await asyncio.shield(self._kill())
            raise
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
    """The engines of one executor, each loaded when it is first needed. Used as `async with`; at its end all have ended."""

    def __init__(self, limits: WarmLimits | None = None, *, copies: int = 1, tether: Tether = FREE) -> None:
        """Start nothing yet.

        Args:
            limits: What each process may take.
            copies: Most processes of one offer that keeps no more than a core busy.
            tether: What they are bound by.
        """
        self._limits = limits
        self._copies = copies
        self._tether = tether
        self._engines: dict[Offer, list[WarmEngine]] = {}
        self._leases = Counter[WarmEngine]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def get(self, offer: Offer) -> WarmEngine:
        """Return the first engine of that offer, loaded or not."""
        return self._running(offer)[0]

    @contextmanager
    def lease(self, offer: Offer) -> Generator[WarmEngine]:
        """Yield an engine of that offer, loaded or not: one that nobody has, a new one, or the one that fewest have.

        For a whole piece of work, so that what follows each other is asked of the same process.
        """
        running = self._running(offer)
        chosen = min(running, key=lambda one: self._leases[one])
        if self._leases[chosen] and len(running) < (1 if offer.is_parallel else self._copies):
            chosen = self._start(offer)
        self._leases[chosen] += 1
        try:
            yield chosen
        finally:
            self._leases[chosen] -= 1

    def _running(self, offer: Offer) -> list[WarmEngine]:
        if offer not in self._engines:
            self._start(offer)
        return self._engines[offer]

    def _start(self, offer: Offer) -> WarmEngine:
        engine = WarmEngine(offer, self._limits, tether=self._tether)
        self._engines.setdefault(offer, []).append(engine)
        return engine

    async def prove(self, offers: Iterable[Offer]) -> Proof:
        """Load each once, one after the other, and end it again; capabilities are said only of what loads.

        What is loaded already is proved and stays.
        """
        found: list[Offer] = []
        faults: dict[str, str] = {}
        for offer in offers:
            engine = self.get(offer)
            was_loaded = engine.pid is not None
            try:
                facts = await engine.load(_Known)
            except MediafleetError as error:
                faults[offer.shown] = error.message
                continue
            found.append(_complete(offer, facts))
            if not was_loaded:
                await engine.close()
        return Proof(tuple(found), faults)

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*(engine.close() for running in self._engines.values() for engine in running))


@dataclass(frozen=True)
class Proof:
    """What a machine's engines were found to do."""

    offers: tuple[Offer, ...]
    """What loads, with what it says of itself then."""
    faults: Mapping[str, str]
    """Engine and model, and in one sentence why it does not load."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What a node with these may say of itself, sorted."""
        return tuple(sorted({word for offer in self.offers for word in offer.capabilities}))


class _Known(msgspec.Struct):
    """What facts of several roles have in common."""

    languages: tuple[str, ...] = ()
    detects_language: bool = False
    tones: tuple[str, ...] = ()


def _complete(offer: Offer, facts: _Known) -> Offer:
    """Return an offer with what the loaded engine says, where nobody knew it before."""
    return msgspec.structs.replace(
        offer,
        languages=offer.languages or facts.languages,
        detects_language=facts.detects_language,
        tones=facts.tones,
    )


def _value(reply: Answer) -> msgspec.Raw:
    if isinstance(reply, Failed):
        raise as_error(reply.error)
    return reply.value
