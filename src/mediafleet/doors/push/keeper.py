"""Keeps every listening node of the settings linked: claimed from the store, called, called again when the link ends."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

import aiohttp
import structlog

from mediafleet.domain.push import parse_push_nodes
from mediafleet.doors.push.dialled import DialledLink
from mediafleet.doors.push.exchange import Exchange, NodeAway
from mediafleet.doors.push.messages import LinkTimes
from mediafleet.scheduler.loops import end_loops, keep_going

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.push import PushClaim, PushNode
    from mediafleet.doors.websocket.node import NodeDoor
    from mediafleet.ops.settings import Settings
    from mediafleet.store import Store

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Before a node that does not answer is called again."""
IDLE_CONNECTION_S = 3.0
"""Less than the node's server keeps one, so that a request seldom meets a connection that is just being closed."""
END_WITHIN_S = 3.0
"""How long links may take to close at shutdown."""
_REFUSED_CODES = frozenset({4400, 4401, 4409, 4426})

TRIES = 6
"""In vain and in a row, about 10 s; then another instance may try, which perhaps reaches the node."""
LEFT_TO_OTHERS_S = 2.0
"""For so long this instance does not ask for such a node again."""

_log = structlog.get_logger(__name__)


class Claim(Protocol):
    """Tells which nodes this instance may call."""

    async def __call__(self, addresses: Sequence[str], /, *, give_up: Sequence[str]) -> list[PushClaim]:
        """Return those of the addresses that are this instance's; others may have what it gives up.

        Raises:
            StoreUnavailable: Nobody can tell.
        """
        ...


@dataclass(frozen=True)
class Caller:
    """Who calls the nodes."""

    instance: str
    claim: Claim
    door: NodeDoor
    token: str
    times: LinkTimes
    ask_every_s: float
    """How often it is asked which nodes are this instance's."""


def pause_s(failures: int, *, draw: float) -> float:
    """Return how long to wait before a node is called again, by how often it was called in vain: full jitter.

    Args:
        failures: In a row, 1 or more.
        draw: A random number, 0 ≤ draw < 1.
    """
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)) * draw


class PushKeeper:
    """Links to the nodes that listen. Use it as an async context manager."""

    def __init__(self, nodes: Sequence[PushNode], caller: Caller) -> None:
        self._nodes = {node.address: node for node in nodes}
        self._caller = caller
        self._calls: dict[str, _Call] = {}
        self._left_until: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not self._nodes:
            return self
        # Each node has its own two connections; what a proxy of the environment knows of them is nothing.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        self._session = await self._stack.enter_async_context(session)
        self._loop = asyncio.create_task(keep_going("push nodes", self.step), name="push nodes")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop:
            await end_loops([self._loop])
        calls = [call.stop() for call in self._calls.values()]
        # Safe to repeat: the server has done the same if it ended before.
        self._caller.door.close_all()
        if calls:
            # They need a moment to tell their nodes, which then wait for another instance at once.
            await asyncio.wait(calls, timeout=END_WITHIN_S)
            await end_loops(calls)
        await self._stack.aclose()

    async def step(self) -> None:
        """Ask once which nodes are this instance's, begin and end calls accordingly, and wait. Raises StoreUnavailable."""
        tired = [address for address, call in self._calls.items() if call.is_tired]
        now_s = asyncio.get_running_loop().time()
        asked = [one for one in self._nodes if one not in tired and self._left_until.get(one, 0) <= now_s]
        claims = {one.address: one.term for one in await self._caller.claim(asked, give_up=tired)}
        self._left_until |= dict.fromkeys(tired, now_s + LEFT_TO_OTHERS_S)
        for address in [known for known, call in self._calls.items() if claims.get(known) != call.term]:
            if address not in tired:
                _log.warning("another instance calls a listening node now", address=address)
            await end_loops([self._calls.pop(address).stop()])
        for address, term in claims.items():
            if address not in self._calls:
                self._calls[address] = self._begin(self._nodes[address], term)
        await asyncio.sleep(self._caller.ask_every_s)

    def _begin(self, node: PushNode, term: int) -> _Call:
        assert self._session  # noqa: S101 - set as long as the loop runs
        exchange = Exchange(self._session, node.address, token=self._caller.token)
        return _Call(node, term, exchange, self._caller, self._said)


class _Call:
    """One node that is this instance's: linked, or on the way to it."""

    def __init__(self, node: PushNode, term: int, exchange: Exchange, caller: Caller, said: dict[str, str]) -> None:
        self.term = term
        self._node = node
        self._exchange = exchange
        self._caller = caller
        self._failures = 0
        self._said = said
        self._stopping = False
        self._task = asyncio.create_task(self._keep(), name=f"push {node.address}")

    @property
    def is_tired(self) -> bool:
        """Whether another instance might do better."""
        return self._failures >= TRIES

    def stop(self) -> asyncio.Task[None]:
        """Call no more; return the task that ends with the present link, or when it is cancelled."""
        self._stopping = True
        if self._failures:
            self._task.cancel()  # It is not linked, and may sleep.
        return self._task

    async def _keep(self) -> None:
        while not self._stopping:
            try:
                await self._link()
            except NodeAway as error:
                self._note_failure(str(error))
            except Exception:  # noqa: BLE001 - boundary of the link: the next one starts afresh
                _log.exception("a call to a listening node failed", address=self._node.address)
                self._failures += 1
            if self._failures and not self._stopping:
                await asyncio.sleep(pause_s(self._failures, draw=random.random()))  # noqa: S311 - jitter needs no secrecy

    async def _link(self) -> None:
        caller, address = self._caller, self._node.address
        link = DialledLink(self._exchange, self._node, instance=caller.instance, term=self.term, times=caller.times)
        async with link:
            _log.info("a listening node answered", address=address, term=self.term)
            self._failures = 0
            self._said.pop(address, None)
            await caller.door.serve(link.receive, link.send, kind="push", arrivals=self._exchange.arrivals)
        code, reason = link.closed_with or (0, link.lost)
        if code in _REFUSED_CODES:
            # It will not pass by itself soon, nor with another instance.
            self._failures = TRIES - 1
            _log.warning("a listening node was refused", address=address, code=code, reason=reason)
        else:
            self._failures = 1
            _log.warning("the link to a listening node ended", address=address, reason=reason)

    def _note_failure(self, reason: str) -> None:
        self._failures += 1
        # Once a cause and not once a try: a node that is switched off for a week must not fill the log.
        if reason != self._said.get(self._node.address):
            _log.warning(
                "a listening node does not answer; it is called again and again",
                address=self._node.address,
                reason=reason,
            )
        self._said[self._node.address] = reason


def build_keeper(settings: Settings, instance: str, store: Store, door: NodeDoor) -> PushKeeper:
    """Return what calls the nodes of the settings for an instance."""
    rules = settings.scheduler
    caller = Caller(
        instance,
        partial(store.claim_push, instance),
        door,
        settings.server.token,
        LinkTimes(rules.heartbeat_ms / 1000),
        ask_every_s=rules.reap_ms / 1000,
    )
    return PushKeeper(parse_push_nodes(rules.push_nodes), caller)
