"""The fake scheduler leaves nothing open behind, which would fail whatever test runs next."""

from __future__ import annotations

import gc
import socket
import warnings
from urllib.parse import urlsplit

import pytest
from tests_support.fake_scheduler import FakeScheduler


@pytest.mark.parametrize("rounds", range(6))
def test_a_connection_that_comes_while_the_fake_stops_is_closed(rounds: int) -> None:
    # Warnings of the collector belong to nobody in particular: only what is older than the test may be lost here.
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with FakeScheduler() as scheduler, socket.socket() as late:
            place = urlsplit(scheduler.url)
            loop, stop = scheduler._loop, scheduler._stop

            def stop_after(rounds: int) -> None:
                if rounds:
                    loop.call_soon(stop_after, rounds - 1)
                else:
                    stop.set()

            def connect_and_stop() -> None:
                # In the loop's own thread, so that the end comes a known number of its rounds after the connection.
                late.connect((place.hostname, place.port))
                stop_after(rounds)

            loop.call_soon_threadsafe(connect_and_stop)
            scheduler._thread.join(20)
            del scheduler, loop, stop, stop_after, connect_and_stop
        gc.collect()
    assert [str(one.message) for one in caught] == []
