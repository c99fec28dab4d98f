"""When a task that failed is tried again, and who goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.retry import BASE_DELAY_MS, LONGEST_DELAY_MS, back_off_ms, back_off_table, score_ms

tries = st.integers(1, 10_000)
draws = st.floats(0, 1, exclude_max=True)


@given(tries, draws)
def test_the_wait_is_never_negative_and_never_longer_than_the_cap(spent: int, draw: float) -> None:
    assert 0 <= back_off_ms(spent, draw=draw) <= LONGEST_DELAY_MS


@given(tries, draws)
def test_a_further_try_never_waits_less_for_the_same_draw(spent: int, draw: float) -> None:
    assert back_off_ms(spent, draw=draw) <= back_off_ms(spent + 1, draw=draw)


def test_the_longest_wait_doubles_until_the_cap() -> None:
    longest = [back_off_ms(spent, draw=1 - 1e-9) + 1 for spent in range(1, 10)]
    assert longest == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert longest[0] == BASE_DELAY_MS


def test_waits_are_spread_over_the_whole_range() -> None:
    assert [back_off_ms(2, draw=draw) for draw in (0, 0.25, 0.5)] == [0, 250, 500]


def test_the_table_holds_the_wait_after_each_try() -> None:
    assert back_off_table((0.5, 0.5, 0.5)) == [250, 500, 1_000]
    assert back_off_table(()) == []


@given(st.integers(0, 2**45), st.integers(0, 2**45))
def test_of_equal_urgency_the_older_task_goes_first(one: int, two: int) -> None:
    assert (score_ms(one) <= score_ms(two)) == (one <= two)


def test_one_step_of_urgency_weighs_as_much_as_one_ageing_time_of_waiting() -> None:
    assert score_ms(100_000, urgency=1) == score_ms(40_000)
    assert score_ms(100_000, urgency=1, ageing_ms=10) == score_ms(99_990)
    assert score_ms(100_000, urgency=1) < score_ms(100_000) < score_ms(100_000, urgency=-1)


@given(st.lists(draws, max_size=8).map(tuple))
def test_the_table_says_the_same_as_each_single_wait(given_draws: tuple[float, ...]) -> None:
    table = back_off_table(given_draws)
    assert table == [back_off_ms(position + 1, draw=draw) for position, draw in enumerate(given_draws)]
    assert all(type(wait) is int for wait in table), "a script would read 0.5 ms as half a millisecond"


@given(st.integers(0, 2**41), st.integers(0, 60), st.integers(1, 600_000), st.integers(1, 10))
def test_an_older_task_overtakes_a_more_urgent_one_exactly_when_it_has_aged_enough(
    due: int, urgency: int, ageing: int, steps: int
) -> None:
    urgent = score_ms(due + steps * ageing, urgency=urgency + steps, ageing_ms=ageing)
    assert score_ms(due, urgency=urgency, ageing_ms=ageing) == urgent
    assert score_ms(due - 1, urgency=urgency, ageing_ms=ageing) < urgent


@given(st.integers(0, 2**42), st.integers(-100, 100))
def test_a_score_is_exact_in_a_sorted_set(due: int, urgency: int) -> None:
    """Redis keeps scores as doubles."""
    score = score_ms(due, urgency=urgency)
    assert int(float(score)) == score


@given(st.integers(0, 2**41), st.lists(st.integers(0, 10_000), min_size=2, max_size=9))
def test_tasks_of_one_job_keep_their_order_and_are_a_second_behind_at_most(due: int, positions: list[int]) -> None:
    scores = [score_ms(due, position=position) for position in sorted(positions)]
    assert scores == sorted(scores)
    assert scores[-1] - due <= 1_000
    assert score_ms(due, position=1) > score_ms(due)


def test_a_task_without_urgency_goes_by_its_time_alone() -> None:
    assert score_ms(1_800_000_000_000) == 1_800_000_000_000
