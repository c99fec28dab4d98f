"""A fleet with several addresses is reached as long as one of them answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.errors import ConfigError


def test_one_address_is_a_ring_of_one() -> None:
    ring = AddressRing("http://a:8000/")
    ring.move_on("http://a:8000")
    assert (ring.current, len(ring), str(ring)) == ("http://a:8000", 1, "http://a:8000")


def test_the_next_address_follows_one_that_failed() -> None:
    ring = AddressRing("http://a:1, http://b:2 ,http://c:3,")
    seen: list[str] = []
    for _ in range(4):
        seen.append(ring.current)
        ring.move_on(ring.current)
    assert seen == ["http://a:1", "http://b:2", "http://c:3", "http://a:1"]


def test_two_who_saw_the_same_address_fail_move_on_once() -> None:
    ring = AddressRing("http://a:1,http://b:2,http://c:3")
    failed = ring.current
    ring.move_on(failed)
    ring.move_on(failed)
    assert ring.current == "http://b:2"


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_address_is_said_so(text: str) -> None:
    with pytest.raises(ConfigError, match="No address"):
        AddressRing(text)


@given(st.integers(1, 9))
def test_every_address_is_tried_before_any_is_tried_again(count: int) -> None:
    ring = AddressRing(",".join(f"http://h{number}" for number in range(count)))
    seen: set[str] = set()
    for _ in range(count):
        seen.add(ring.current)
        ring.move_on(ring.current)
    assert len(seen) == count
