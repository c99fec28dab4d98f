"""Quiet for the simulator: what its instances and nodes log is their business."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest
import structlog
from tests_support.measuring import unmeasured_children


@pytest.fixture(scope="module", autouse=True)
def unmeasured() -> Iterator[None]:
    """Leave simulators with a process of their own out of the report: what they run is measured elsewhere."""
    with unmeasured_children():
        yield


@pytest.fixture(autouse=True)
def quiet(no_cover: None) -> Iterator[None]:
    """Log nothing below critical, and measure nothing in this process either."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def _say_nothing(_: object) -> None: ...


@pytest.fixture(autouse=True)
def no_remains() -> Iterator[None]:
    """Let what killed processes left half done end here: Python complains of it, in whichever test it finds it."""
    yield
    hook, sys.unraisablehook = sys.unraisablehook, _say_nothing
    gc.collect()
    sys.unraisablehook = hook
