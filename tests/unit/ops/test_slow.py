"""A section that is too slow is told of: once in a while, with how many were kept back."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from structlog.testing import capture_logs

from mediafleet.ops.settings import SlowSettings
from mediafleet.ops.slow import SlowWatch, Timed, limits_of


class Clock:
    """Seconds that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> SlowWatch:
    return SlowWatch(SlowSettings(script_ms=50, plan_ms=200, every_s=60), clock=clock)


def test_what_is_quick_is_not_told_of(watch: SlowWatch) -> None:
    with capture_logs() as lines:
        assert not watch.note("script", 0.049, {"script": "place"})
    assert lines == []


def test_a_warning_says_what_was_slow_and_by_how_much(watch: SlowWatch) -> None:
    with capture_logs() as lines:
        assert watch.note("script", 0.0612, {"script": "place"})
    (line,) = lines
    assert (line["log_level"], line["section"], line["script"]) == ("warning", "script", "place")
    assert (line["took_ms"], line["limit_ms"], line["also_slow_since_the_last_line"]) == (61.2, 50, 0)


def test_a_store_that_is_slow_all_the_time_does_not_fill_the_log(watch: SlowWatch, clock: Clock) -> None:
    with capture_logs() as lines:
        for second in range(61):
            clock.now_s = 1000.0 + second
            assert watch.note("script", 1.0, {})
    assert [line["also_slow_since_the_last_line"] for line in lines] == [0, 59]


def test_one_section_does_not_silence_another(watch: SlowWatch) -> None:
    with capture_logs() as lines:
        watch.note("script", 1.0, {})
        watch.note("plan", 1.0, {"job": "j0-1"})
    assert [line["section"] for line in lines] == ["script", "plan"]


def test_each_section_goes_by_a_threshold_of_its_own(watch: SlowWatch) -> None:
    assert watch.note("script", 0.1, {})
    assert not watch.note("plan", 0.1, {})


def test_a_section_without_a_threshold_is_never_slow(watch: SlowWatch) -> None:
    assert not watch.note("lunch", 3600, {})


@pytest.mark.parametrize("name", sorted(limits_of(SlowSettings())))
def test_every_threshold_is_a_setting_in_milliseconds(name: str) -> None:
    settings = replace(SlowSettings(), **{f"{name}_ms": 7})
    assert limits_of(settings)[name] == 0.007
    assert {field.name for field in fields(SlowSettings)} == {*(f"{key}_ms" for key in limits_of(settings)), "every_s"}


def test_a_block_is_measured_to_its_end_however_that_comes() -> None:
    told: list[tuple[str, bool, dict[str, object]]] = []
    timed = Timed(lambda name, seconds, ids: told.append((name, seconds >= 0, dict(ids))), "plan", {"job": "j0-1"})
    with pytest.raises(KeyError), timed:
        raise KeyError
    assert told == [("plan", True, {"job": "j0-1"})]
