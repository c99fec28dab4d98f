"""When a failed task is tried again."""

from __future__ import annotations

BASE_DELAY_MS = 500
"""First back-off: long enough that a busy file or a full disk may have cleared."""
LONGEST_DELAY_MS = 60_000
"""Cap: a user who watches should see the next try within a minute."""


def back_off_ms(tries: int, *, draw: float) -> int:
    """Return how long to wait before the next try, milliseconds.

    Exponential with full jitter (Amazon Builders' Library, "Timeouts, retries, and backoff with jitter").

    Args:
        tries: Tries spent so far, 1 or more.
        draw: A random number, 0 ≤ draw < 1.
    """
    # The exponent is bounded since tries are not: 2 to the power of thousands would be computed before the cap is.
    ceiling = min(LONGEST_DELAY_MS, BASE_DELAY_MS * 2 ** min(tries - 1, 20))
    # Down to no wait at all: tasks that failed together, because a disk was full, must not come back together.
    return int(ceiling * draw)


_MOST_POSITIONS_MS = 1_000
"""A job of many tasks keeps their order, and is not behind one that came much later."""


def back_off_table(draws: tuple[float, ...]) -> list[int]:
    """Return the waits after try 1, 2, … as the store's scripts want them."""
    return [back_off_ms(index + 1, draw=draw) for index, draw in enumerate(draws)]


def score_ms(due_ms: int, *, urgency: int = 0, position: int = 0, ageing_ms: int = 60_000) -> int:
    """Return a task's place in its tenant's queue: smaller goes first.

    A static score that ages by itself: waiting `ageing_ms` longer weighs as much as one step of urgency. `position` is the
    task's among those that its job creates at once, which are placed in this order; it weighs a second at most.
    """
    return due_ms - urgency * ageing_ms + min(position, _MOST_POSITIONS_MS)
