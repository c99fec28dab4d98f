"""A live session is one instance's at a time, and goes on elsewhere when that is gone, asleep or done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from running_instances import Instances
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.store_driver import LEASE_MS, announce
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import Conflict, InvalidRequest, Unavailable
from mediafleet.domain.ids import is_id, new_session_id
from mediafleet.scheduler import ownership
from mediafleet.scheduler.ownership import Ownership
from mediafleet.store import Store
from mediafleet.store.sessions import SessionStore, SessionWord

TTL_MS, GAP_MS = 3_000, 1_000
SESSION = "s0-talk"
Owner = Callable[..., Ownership]


@pytest.fixture
async def clock(store: Store, virtual_time: VirtualTime) -> Clockwork:
    """The reaper ticks, and no outage was lately; two instances live."""
    clock = Clockwork(store, virtual_time)
    await clock.pass_ms(LEASE_MS + 2 * TICK_MS)
    for name in ("i-1", "i-2"):
        await announce(store, name)
    return clock


@pytest.fixture
def owner(clock: Clockwork) -> Owner:
    def make(name: str, **more: Any) -> Ownership:
        return Ownership(name, SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS), **more)

    return make


async def kill(store: Store, instance: str) -> None:
    client: Any = store.redis
    await client.delete(store.keys.instance(instance))


async def fields(store: Store, session: str = SESSION) -> dict[str, str]:
    client: Any = store.redis
    found = await client.hgetall(store.keys.session(session))
    return {name.decode(): value.decode() for name, value in found.items()}


def test_a_session_has_an_id_of_its_own_letter() -> None:
    assert is_id(new_session_id("0"), "s")
    assert not is_id(new_session_id("0"), "j")


async def test_a_session_is_the_first_ones_and_the_other_is_told_whose(owner: Owner) -> None:
    first, second = owner("i-1"), owner("i-2")
    assert (await first.claim(SESSION)).epoch == 1
    with pytest.raises(Conflict, match="served by i-1"):
        await second.claim(SESSION)
    assert (await first.claim(SESSION)).epoch == 1, "safe to repeat"
    assert (first.sessions, second.sessions) == ((SESSION,), ())


async def test_what_is_renewed_stays_and_where_it_is_is_kept(owner: Owner, clock: Clockwork) -> None:
    first = owner("i-1")
    await first.claim(SESSION)
    await first.write(SESSION, next_index=7)
    for _ in range(4):
        await clock.pass_ms(TTL_MS - TICK_MS)
        await first.renew()
    await first.write(SESSION, acknowledged=5)
    found = await first.claim(SESSION)
    assert (found.epoch, found.next, found.acknowledged) == (1, 7, 5)


async def test_a_session_of_an_instance_that_is_gone_goes_on_elsewhere_at_once(owner: Owner, clock: Clockwork) -> None:
    lost: list[str] = []
    first, second = owner("i-1", on_lost=lost.append), owner("i-2")
    await first.claim(SESSION)
    await first.write(SESSION, next_index=7, acknowledged=6)
    await kill(clock.store, "i-1")
    found = await second.claim(SESSION)
    assert (found.owner, found.epoch, found.next, found.acknowledged) == ("i-2", 2, 7, 6)
    # It lives after all.
    await announce(clock.store, "i-1")
    with pytest.raises(Conflict, match="not this instance's"):
        await first.write(SESSION, next_index=99)
    assert (await fields(clock.store))["next"] == "7"
    assert (lost, first.sessions) == ([SESSION], ())


@pytest.mark.parametrize("since", ["nobody", "i-2"])
async def test_an_instance_that_was_stopped_longer_than_its_lease_can_neither_renew_nor_write(
    owner: Owner, clock: Clockwork, since: str
) -> None:
    first = owner("i-1")
    await first.claim(SESSION)
    await clock.pass_ms(TTL_MS + 2 * TICK_MS)
    if since != "nobody":
        assert (await owner(since).claim(SESSION)).epoch == 2
    before = await fields(clock.store)
    epoch = 1
    sessions = SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS)
    assert await sessions.renew("i-1", [SessionWord(SESSION, epoch, 9, 9)]) == [SESSION]
    assert not await sessions.release(SESSION, "i-1", epoch, is_over=True)
    await first.renew()
    assert await fields(clock.store) == before
    assert first.sessions == ()
    if since == "nobody":
        assert (await first.claim(SESSION)).epoch == 2, "it may begin anew"


async def test_a_lease_ends_with_the_moment_and_not_with_the_tick_after_it(owner: Owner, clock: Clockwork) -> None:
    first, second = owner("i-1"), owner("i-2")
    await first.claim(SESSION)
    await clock.pass_ms(TTL_MS - TICK_MS)
    clock.time.advance(TICK_MS)
    with pytest.raises(Conflict):
        await second.claim(SESSION)
    clock.time.advance(1)
    with pytest.raises(Conflict):
        await first.write(SESSION, next_index=1)
    assert (await second.claim(SESSION)).epoch == 2


async def test_the_right_epoch_in_the_wrong_hands_writes_nothing(owner: Owner, clock: Clockwork) -> None:
    await owner("i-1").claim(SESSION)
    sessions = SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS)
    assert await sessions.renew("i-2", [SessionWord(SESSION, 1, 9)]) == [SESSION]
    assert not await sessions.release(SESSION, "i-2", 1, is_over=True)


async def test_the_right_hands_with_an_epoch_of_before_write_nothing(owner: Owner, clock: Clockwork) -> None:
    """An instance slept, and has claimed it anew; what it had begun before comes late."""
    await owner("i-1").claim(SESSION)
    await clock.pass_ms(TTL_MS + TICK_MS)
    assert (await owner("i-1").claim(SESSION)).epoch == 2
    sessions = SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS)
    before = await fields(clock.store)
    assert await sessions.renew("i-1", [SessionWord(SESSION, 1, 9)]) == [SESSION]
    assert not await sessions.release(SESSION, "i-1", 1, is_over=True)
    assert await fields(clock.store) == before


async def test_an_instance_without_presence_takes_nothing_until_it_has_said_that_it_lives(
    owner: Owner, clock: Clockwork
) -> None:
    with pytest.raises(Unavailable, match="asleep"):
        await owner("i-3").claim(SESSION)
    assert await fields(clock.store) == {}
    await announce(clock.store, "i-3")
    assert (await owner("i-3").claim(SESSION)).epoch == 1


async def test_after_an_outage_everybody_keeps_what_was_its_own(owner: Owner, clock: Clockwork) -> None:
    """Nobody could renew, and all presences have ended; who is back first must not take all."""
    first, second = owner("i-1"), owner("i-2")
    await first.claim(SESSION)
    for name in ("i-1", "i-2"):
        await kill(clock.store, name)
    clock.time.advance(10 * TTL_MS)
    await announce(clock.store, "i-2")
    with pytest.raises(Conflict, match="i-1"):
        await second.claim(SESSION)
    await clock.driver.reap()
    with pytest.raises(Conflict, match="i-1"):
        await second.claim(SESSION)
    await first.write(SESSION, next_index=3)
    assert first.sessions == (SESSION,)
    # Who does not come back in the grace has lost it.
    await clock.pass_ms(LEASE_MS + TTL_MS + TICK_MS)
    assert (await second.claim(SESSION)).next == 3


async def test_a_session_that_was_let_go_is_anybodys_and_one_that_is_over_leaves_nothing(
    owner: Owner, clock: Clockwork
) -> None:
    first, second = owner("i-1"), owner("i-2")
    await first.claim(SESSION)
    await first.release(SESSION, is_over=False)
    await first.release(SESSION, is_over=False)
    assert (await second.claim(SESSION)).epoch == 2
    await second.release(SESSION, is_over=True)
    names = await clock.driver.key_names()
    assert not [name for name in names if "session" in name]
    client: Any = clock.store.redis
    assert await client.zscore(clock.store.keys.due, f"session|{SESSION}") is None


async def test_a_session_that_nobody_goes_on_with_leaves_no_key_without_an_end(owner: Owner, clock: Clockwork) -> None:
    await owner("i-1").claim(SESSION)
    await clock.pass_ms(TTL_MS + 2 * TICK_MS)
    client: Any = clock.store.redis
    assert (await fields(clock.store))["owner"] == ""
    assert 0 < await client.pttl(clock.store.keys.session(SESSION)) <= 3_600_000
    assert not await client.exists(clock.store.keys.instance_sessions("i-1"))
    assert await client.zscore(clock.store.keys.due, f"session|{SESSION}") is None
    assert (await owner("i-2").claim(SESSION)).epoch == 2, "the token goes on rising"
    assert await client.pttl(clock.store.keys.session(SESSION)) == -1


async def test_sessions_are_listed_by_their_instance(owner: Owner, clock: Clockwork) -> None:
    first, second = owner("i-1"), owner("i-2")
    for name in ("s0-b", "s0-a"):
        await first.claim(name)
    await second.claim("s0-c")
    sessions = SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS)
    assert await sessions.of_instance("i-1") == ["s0-a", "s0-b"]
    view = await clock.store.read.cluster()
    assert {one.id: one.sessions for one in view.instances} == {"i-1": 2, "i-2": 1}
    await kill(clock.store, "i-1")
    await second.claim("s0-a")
    assert await sessions.of_instance("i-1") == ["s0-b"]
    assert await sessions.of_instance("i-2") == ["s0-a", "s0-c"]


async def test_what_is_no_id_names_no_key(owner: Owner) -> None:
    for name in ("", "j0-a", "s0-a:b", "s0-a b"):
        with pytest.raises(InvalidRequest, match="no id of a session"):
            await owner("i-1").claim(name)


async def test_many_sessions_are_renewed_in_parts(
    owner: Owner, clock: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "MOST_AT_ONCE", 2)
    first = owner("i-1")
    for number in range(5):
        await first.claim(f"s0-{number}")
    calls: list[str] = []

    def note(name: str, _: float) -> None:
        calls.append(name)

    clock.store._observe = note
    await clock.pass_ms(TTL_MS - TICK_MS)
    await first.renew()
    assert calls.count("renew_sessions") == 3
    await clock.pass_ms(TTL_MS - TICK_MS)
    await first.renew()
    assert len(first.sessions) == 5


async def test_a_loop_renews_once_there_is_something_to_renew(owner: Owner, clock: Clockwork) -> None:
    first = owner("i-1")
    first._every_s = 0
    waiting = asyncio.create_task(first.step())
    await asyncio.sleep(0)
    assert not waiting.done()
    await first.claim(SESSION)
    clock.time.advance(TICK_MS)
    async with asyncio.timeout(20):
        await waiting
    assert int((await fields(clock.store))["ends"]) == clock.time.ms + TTL_MS


class LateStore(SessionStore):
    """The answer to a release is long on its way."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, ttl_ms=3_000, gap_ms=1_000)
        self.released, self.arrives = asyncio.Event(), asyncio.Event()

    async def release(self, session: str, instance: str, epoch: int, *, is_over: bool) -> bool:
        found = await super().release(session, instance, epoch, is_over=is_over)
        self.released.set()
        await self.arrives.wait()
        return found


async def test_a_claim_that_comes_while_a_release_is_answered_stands(store: Store) -> None:
    await announce(store, "i-1")
    late = LateStore(store)
    owner = Ownership("i-1", late)
    await owner.claim(SESSION)
    release = asyncio.create_task(owner.release(SESSION, is_over=False))
    await late.released.wait()
    await owner.claim(SESSION)
    late.arrives.set()
    await release
    assert owner.sessions == (SESSION,)


async def test_an_instance_that_ends_lets_its_sessions_go(instances: Instances) -> None:
    async with instances.run("i-2") as second:
        async with instances.run("i-1") as first:
            assert (await first.ownership.claim(SESSION)).epoch == 1
            with pytest.raises(Conflict):
                await second.ownership.claim(SESSION)
        assert (await second.ownership.claim(SESSION)).epoch == 2


class Account:
    """What instances were given and wrote, as they tell it."""

    def __init__(self, owners: dict[str, Ownership]) -> None:
        self.owners = owners
        self.latest, self.written = ("", 0), 0

    async def claim(self, name: str) -> None:
        with suppress(Conflict, Unavailable):
            found = await self.owners[name].claim(SESSION)
            assert (name, found.epoch) == self.latest or found.epoch > self.latest[1]
            assert found.next == self.written, "it goes on where the one before had got to"
            self.latest = (name, found.epoch)

    async def write(self, name: str, number: int) -> None:
        believed = self.owners[name]._epochs.get(SESSION, 0)
        with suppress(Conflict):
            await self.owners[name].write(SESSION, next_index=number)
            assert (name, believed) == self.latest
            self.written = number


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_happens_the_token_rises_and_only_the_latest_owner_writes(
    owner: Owner, clock: Clockwork, seed: int
) -> None:
    """Instances claim, renew, write, sleep and die in any order."""
    draw = random.Random(seed)  # noqa: S311 - a drawn test, no secret
    names = ("i-1", "i-2", "i-3")
    account = Account({name: owner(name) for name in names})
    sessions = SessionStore(clock.store, ttl_ms=TTL_MS, gap_ms=GAP_MS)
    for number in range(1, 60):
        name, span_ms = draw.choice(names), draw.choice([TICK_MS, TTL_MS, 2 * TTL_MS])
        steps: list[Callable[[], Awaitable[object]]] = [
            partial(account.claim, name),
            partial(account.write, name, number),
            account.owners[name].renew,
            partial(clock.pass_ms, span_ms),
            partial(kill, clock.store, name),
            partial(announce, clock.store, name),
            partial(account.owners[name].release, SESSION, is_over=False),
        ]
        await draw.choice(steps)()
        listed = [one for one in names if SESSION in await sessions.of_instance(one)]
        assert listed in ([], [account.latest[0]])
