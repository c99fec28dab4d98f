"""A process that serves searches for garbage less often, and still finds it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from mediafleet.ops.collector import YOUNG_OBJECTS, calm_collector


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def own_collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_loaded_before_is_never_searched_again() -> None:
    calm_collector()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == YOUNG_OBJECTS


def test_garbage_in_cycles_is_found_all_the_same() -> None:
    calm_collector()
    knot = weakref.ref(Knot())
    held: list[list[int]] = [[] for _ in range(2 * YOUNG_OBJECTS)]
    assert knot() is None, len(held)
