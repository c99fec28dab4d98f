"""The fake scheduler leaves nothing open behind, which would fail whatever test runs next."""

from __future__ import annotations

import gc
import socket
import warnings
from urllib.parse import urlsplit

import pytest
from tests_support.fake_scheduler import FakeScheduler


def connect_late(scheduler: FakeScheduler, client: socket.socket, *, rounds: int) -> None:
    """Connect, and stop the fake that many rounds of its event loop later."""

    def stop_after(rounds: int) -> None:
        if rounds:
            scheduler._loop.call_soon(stop_after, rounds - 1)
        else:
            scheduler._stop.set()

    def connect_and_stop() -> None:
        place = urlsplit(scheduler.url)
        client.connect((place.hostname, place.port))
        stop_after(rounds)

    # In the loop's own thread: only there are rounds counted.
    scheduler._loop.call_soon_threadsafe(connect_and_stop)
    scheduler._thread.join(20)


@pytest.mark.parametrize("rounds", range(6))
def test_a_connection_that_comes_while_the_fake_stops_is_closed(rounds: int) -> None:
    # What other tests lost is found before, so that only this one's is counted.
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with FakeScheduler() as scheduler, socket.socket() as client:
            connect_late(scheduler, client, rounds=rounds)
        del scheduler
        gc.collect()
    assert [str(one.message) for one in caught] == []
