"""The client that instances talk to the simulated store with: redis-py's commands, a network that can be cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as Away
from redis.exceptions import ResponseError

from fleet_simulator.engine import Engine
from fleet_simulator.loop import Process, current

FASTEST_S, SLOWEST_S = 0.0002, 0.002
"""One way to the store."""

Watch = Callable[[Process, tuple[Any, ...]], None]
Judge = Callable[[Process, tuple[Any, ...], Any], None]


class StoreNetwork:
    """Between instances and the store. Each command arrives late and is answered late, or not at all."""

    def __init__(self, engine: Engine, rng: random.Random) -> None:
        self.engine = engine
        self.is_away = False
        self.before_command: Watch = _ignore
        """Told of each command before it runs; may kill who sent it."""
        self.after_command: Judge = _ignore
        """Told of each command that ran, before its answer goes out."""
        self._rng = rng
        self._waiting: list[tuple[str, Any, asyncio.Future[None]]] = []
        self._world = Context()

    async def call(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Run commands together, in order; errors of single ones are among the answers. Raises redis-py's errors."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Any]] = loop.create_future()
        sender = current.get()
        # In the context of the world: what was sent arrives, whatever becomes of its sender.
        self._later(loop, lambda: self._arrive(loop, sender, commands, answered))
        return await answered

    def _later(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        loop.call_later(self._rng.uniform(FASTEST_S, SLOWEST_S), act, context=self._world)

    def _arrive(
        self,
        loop: asyncio.AbstractEventLoop,
        sender: Process,
        commands: list[tuple[Any, ...]],
        answered: asyncio.Future[list[Any]],
    ) -> None:
        for command in commands:
            self.before_command(sender, command)
        if self.is_away or sender.killed:
            self._later(loop, lambda: _refuse(answered))
            return
        answers = [self._run(command) for command in commands]
        for command, answer in zip(commands, answers, strict=True):
            self.after_command(sender, command, answer)
        self._wake_readers()
        self._later(loop, lambda: self._answer(answered, answers))

    def _run(self, command: tuple[Any, ...]) -> Any:
        try:
            return self.engine.run(*command)
        except ResponseError as error:
            return error

    def _answer(self, answered: asyncio.Future[list[Any]], answers: list[Any]) -> None:
        # An answer that was on its way when the store went away is lost with its connection.
        if self.is_away:
            _refuse(answered)
        elif not answered.done():
            answered.set_result(answers)

    async def wait_for_stream(self, key: str, seconds: float) -> None:
        """Return once something was added to a stream, or after some time."""
        changed = asyncio.get_running_loop().create_future()
        entry = (key, self.engine.stream_position(key), changed)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(seconds):
                await changed
        except TimeoutError:
            pass
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def _wake_readers(self) -> None:
        for entry in list(self._waiting):
            key, position, changed = entry
            if self.engine.stream_position(key) != position:
                self._waiting.remove(entry)
                if not changed.done():
                    changed.set_result(None)


def _refuse(answered: asyncio.Future[list[Any]]) -> None:
    if not answered.done():
        answered.set_exception(Away("The simulated store is away."))


def _ignore(*_: object) -> None:
    """Take no notice."""


class SimulatedRedis(Redis):
    """redis-py's client with another way to the server."""

    def __init__(self, network: StoreNetwork) -> None:
        super().__init__(protocol=2)  # pyright: ignore[reportUnknownMemberType] - redis-py's own hole
        self._network = network

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command."""
        answer = await self._answer_of(args)
        return self._understand(args[0], answer, options)

    async def _answer_of(self, args: tuple[Any, ...]) -> Any:
        (answer,) = await self._network.call([args])
        if answer is None and b"BLOCK" in args and args[0] in {"XREAD", "XREADGROUP"}:
            # Where a server would hold the call, the client asks again once there is something.
            block_ms = int(args[args.index(b"BLOCK") + 1])
            key = args[args.index(b"STREAMS") + 1]
            await self._network.wait_for_stream(key, block_ms / 1000)
            (answer,) = await self._network.call([args])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _understand(self, name: Any, answer: Any, options: Mapping[str, Any]) -> Any:
        callback = self.response_callbacks.get(name)
        given: dict[str, Any] = {key: value for key, value in options.items() if key != "keys"}
        return callback(answer, **given) if callback else answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002 - redis-py's
        """Return a pipeline, which is one call."""
        return _SimulatedPipeline(self, transaction=transaction)


class _SimulatedPipeline(Pipeline):
    """Commands that are sent together."""

    def __init__(self, client: SimulatedRedis, *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        answers = await self._client._network.call([args for args, _ in stack])
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return [
            self._client._understand(args[0], answer, options)
            for (args, options), answer in zip(stack, answers, strict=True)
        ]
