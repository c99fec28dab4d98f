"""Whose word counts for the limits of a task."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.limits import (
    LONGEST_MS,
    MOST_TRIES,
    NO_WISH,
    SHORTEST_MS,
    USUAL,
    KindLimits,
    LimitWish,
    TaskLimits,
    check_limits,
    check_wish,
    effective_limits,
    encode_limits,
    largest_wish,
    limits_of_rule,
    show_limits,
)

times = st.integers(0, LONGEST_MS)
task_limits = st.builds(TaskLimits, st.integers(1, 9), times, times, times, times, times)
wishes = st.builds(LimitWish, st.integers(0, 9), times, times, times, times)
WISHED = LimitWish.__struct_fields__


@given(task_limits, task_limits, wishes)
def test_the_submitter_goes_before_the_plan_and_the_plan_before_the_kind(
    task: TaskLimits, usual: TaskLimits, wish: LimitWish
) -> None:
    found = effective_limits(task, KindLimits(usual), wish)
    for name in WISHED:
        words = [getattr(limits, name) for limits in (wish, task, usual)]
        assert getattr(found, name) == next((word for word in words if word), 0) or task == USUAL
    assert found.deadline_ms == task.deadline_ms


@given(task_limits)
def test_where_nobody_says_more_the_plans_word_stays_the_same_object(task: TaskLimits) -> None:
    """So documents of tasks that say nothing leave their limits out."""
    assert effective_limits(task, KindLimits(), NO_WISH) is task


def test_a_plan_that_says_nothing_leaves_the_tries_to_the_kind() -> None:
    kind = KindLimits(TaskLimits(max_tries=7, queue_ms=5_000))
    assert effective_limits(USUAL, kind, NO_WISH) == TaskLimits(max_tries=7, queue_ms=5_000)
    assert effective_limits(TaskLimits(2, 9_000), kind, NO_WISH) == TaskLimits(2, 9_000, queue_ms=5_000)


@pytest.mark.parametrize("name", WISHED)
@pytest.mark.parametrize("where", ["below", "above", "negative"])
def test_a_wish_out_of_the_kinds_range_is_refused_with_the_range(name: str, where: str) -> None:
    is_tries = name == "max_tries"
    most = 5 if is_tries else 60_000
    least = 1 if is_tries else SHORTEST_MS
    kind = KindLimits(most=LimitWish(**{name: most}))
    value = {"below": least - 1 or -3, "above": most + 1, "negative": -1}[where]
    with pytest.raises(InvalidRequest, match=rf"limits\.{name} is {value}; this kind allows {least} to {most}"):
        check_wish(LimitWish(**{name: value}), kind)
    check_wish(LimitWish(**{name: most}), kind)
    check_wish(LimitWish(**{name: least}), kind)


def test_a_kind_that_says_nothing_allows_a_month_and_a_hundred_tries() -> None:
    check_wish(LimitWish(MOST_TRIES, LONGEST_MS), KindLimits())
    with pytest.raises(InvalidRequest):
        check_wish(LimitWish(MOST_TRIES + 1), KindLimits())
    with pytest.raises(InvalidRequest):
        check_wish(LimitWish(total_ms=LONGEST_MS + 1), KindLimits())


def test_a_wish_for_nothing_asks_for_nothing() -> None:
    """0 does not take a kind's limit away."""
    kind = KindLimits(TaskLimits(progress_ms=9_000))
    check_wish(LimitWish(), kind)
    assert effective_limits(USUAL, kind, LimitWish(progress_ms=0)).progress_ms == 9_000


@pytest.mark.parametrize("limits", [TaskLimits(0), TaskLimits(total_ms=-1), TaskLimits(queue_ms=2**53 + 1)])
def test_a_plan_cannot_ask_for_what_cannot_be(limits: TaskLimits) -> None:
    with pytest.raises(InvalidRequest, match="'encode'"):
        check_limits(limits, "encode")


@given(task_limits)
def test_limits_of_the_script_are_empty_exactly_where_there_are_none(limits: TaskLimits) -> None:
    text = encode_limits(limits)
    values = [limits.accept_ms, limits.queue_ms, limits.progress_ms, limits.deadline_ms]
    assert text == (",".join(map(str, values)) if any(values) else "")


def test_a_misspelt_wish_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"queue_s": 3}', type=LimitWish)


@given(task_limits)
def test_limits_are_read_out_of_a_rule_as_the_scripts_keep_it(limits: TaskLimits) -> None:
    encoded = encode_limits(limits)
    rule = f"queue|tenant|1|1700000000000|{limits.max_tries}|{limits.total_ms}|1.5" + (f"|{encoded}" if encoded else "")
    assert limits_of_rule(rule) == limits


@given(wishes, wishes)
def test_what_is_shown_as_the_largest_is_what_is_allowed(most: LimitWish, wish: LimitWish) -> None:
    kind = KindLimits(most=most)
    largest = largest_wish(kind)
    is_within = all(
        not value or (1 if name == "max_tries" else SHORTEST_MS) <= value <= getattr(largest, name)
        for name, value in show_limits(wish).items()
    )
    try:
        check_wish(wish, kind)
    except InvalidRequest:
        assert not is_within
    else:
        assert is_within


def test_limits_are_shown_whole() -> None:
    assert show_limits(NO_WISH) == dict.fromkeys(WISHED, 0)
    assert show_limits(USUAL) == {**dict.fromkeys(TaskLimits.__struct_fields__, 0), "max_tries": 3}
