"""What nodes are told of their results: all that is settled, soon, in few frames."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scheduler_parts import Parts

from mediafleet.domain.frames import AttemptRef, JobResultAck
from mediafleet.scheduler import acks
from mediafleet.scheduler.acks import ResultAcks

FIRST, SECOND, THIRD = (AttemptRef(f"j0-x.{name}", name) for name in "abc")


class Links:
    """Takes what is sent, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, node: str, frame: Any) -> bool:
        self.sent.append((node, frame))
        return False


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def box(links: Links) -> ResultAcks:
    return ResultAcks(links)  # type: ignore[arg-type]


async def test_results_of_a_moment_are_told_in_one_frame_a_node(box: ResultAcks, links: Links) -> None:
    box.add("n0-a", [FIRST])
    box.add("n0-b", [SECOND])
    step = asyncio.create_task(box.step())
    await asyncio.sleep(0)
    # While those before are gathered.
    box.add("n0-a", [THIRD])
    await step
    assert links.sent == [("n0-a", JobResultAck((FIRST, THIRD))), ("n0-b", JobResultAck((SECOND,)))]


async def test_nothing_is_told_twice(box: ResultAcks, links: Links) -> None:
    box.add("n0-a", [FIRST])
    await box.step()
    box.add("n0-a", [SECOND])
    await box.step()
    assert links.sent == [("n0-a", JobResultAck((FIRST,))), ("n0-a", JobResultAck((SECOND,)))]


async def test_a_step_that_is_cancelled_leaves_its_results_to_the_next(
    box: ResultAcks, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "GATHER_S", 3600)
    box.add("n0-a", [FIRST])
    step = asyncio.create_task(box.step())
    await asyncio.sleep(0)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    monkeypatch.setattr(acks, "GATHER_S", 0)
    await box.step()
    assert links.sent == [("n0-a", JobResultAck((FIRST,)))]


async def test_a_node_that_has_gone_is_passed_over(parts: Parts) -> None:
    box = ResultAcks(parts.links)
    box.add("n0-nobody", [FIRST])
    await box.step()
    assert not parts.links.all()
