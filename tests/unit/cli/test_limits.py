"""`--limit` says what the fleet is asked for."""

from __future__ import annotations

import msgspec
import pytest

from mediafleet.cli._limits import read_limits
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import Submission
from mediafleet.domain.limits import NO_WISH, LimitWish


def test_every_limit_can_be_given_in_the_unit_one_thinks_in() -> None:
    words = ["queue=10m", "accept=90", "progress=1500ms", "total=2h", "tries=5"]
    assert read_limits(words) == LimitWish(5, 7_200_000, 90_000, 600_000, 1_500)
    assert read_limits(["total=1d"]).total_ms == 86_400_000


def test_without_a_limit_the_kind_decides() -> None:
    assert read_limits([]) is NO_WISH
    assert b"limits" not in msgspec.json.encode(Submission("noop", limits=read_limits([])))


@pytest.mark.parametrize(
    "word",
    ["queue", "queue=", "queue=soon", "queue=-1s", "queue=1.5h", "tries=5s", "wait=5s", "=5s", "queue=5 s", "tries=²"],
)
def test_what_cannot_be_read_is_told_how_to_write_it(word: str) -> None:
    with pytest.raises(InvalidRequest, match="queue=10m"):
        read_limits([word])


def test_a_limit_that_is_given_twice_is_a_mistake() -> None:
    with pytest.raises(InvalidRequest, match="--limit queue was given twice"):
        read_limits(["queue=1m", "queue=2m"])
