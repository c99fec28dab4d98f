"""What is said of the modules of a job that waits; pure, from what was decided and what the fleet has."""

from __future__ import annotations

from collections.abc import Iterator

from mediafleet.domain.chain import ChainPart
from mediafleet.domain.explanation import ModuleState, ModuleWhy
from mediafleet.domain.job import TaskSummary
from mediafleet.domain.layout import ChainRecord, FleetFacts, PartLack, Segment, SegmentState, find_cover, find_lack
from mediafleet.domain.lifecycle import FINAL_TASK_STATES, TaskState

_STATES = {
    SegmentState.WAITING: ModuleState.WAITING,
    SegmentState.BEGUN: ModuleState.BEGUN,
    SegmentState.DONE: ModuleState.DONE,
    SegmentState.ENDED: ModuleState.ENDED,
}

_SAID = {
    ModuleState.DONE: "It is done.",
    ModuleState.BEGUN: "An executor has it.",
    ModuleState.ENDED: "Its task ended without a result.",
}


def task_state(task: TaskSummary) -> SegmentState:
    """Return how far a task is that runs a segment."""
    if task.state in FINAL_TASK_STATES:
        return SegmentState.DONE if task.state is TaskState.DONE else SegmentState.ENDED
    return SegmentState.WAITING if task.state is TaskState.NEW else SegmentState.BEGUN


def explain_chain(record: ChainRecord, facts: FleetFacts) -> Iterator[ModuleWhy]:
    """Yield each module of a chain, with what keeps it from being run.

    Args:
        record: With the present states of its segments.
    """
    by_part = {part: segment for segment in record.segments for part in segment.parts}
    left = [part for part in record.parts if _state(by_part.get(part.name)) in {ModuleState.WAITING, ModuleState.LATER}]
    together = bool(left) and find_cover(left, facts, base=record.base) is not None
    for part in record.parts:
        segment = by_part.get(part.name)
        state = _state(segment)
        lack = find_lack(part, facts, base=record.base) if part in left else None
        sentence = _lacking(lack) if lack else _placed(part, segment, left if together else [])
        yield ModuleWhy(
            chain=record.name,
            module=part.name,
            state=state,
            task=segment.task if segment else "",
            needs=part.needs,
            missing=lack.missing if lack else (),
            sentence=sentence,
        )


def _state(segment: Segment | None) -> ModuleState:
    return _STATES[segment.state] if segment else ModuleState.LATER


def _lacking(lack: PartLack) -> str:
    what = list(lack.missing)
    if lack.slots_short:
        what.append(f"{lack.slots_short} more {'slot' if lack.slots_short == 1 else 'slots'}")
    return f"No executor can do it: the one that comes nearest lacks {', '.join(what)}."


def _placed(part: ChainPart, segment: Segment | None, together: list[ChainPart]) -> str:
    state = _state(segment)
    if state is ModuleState.LATER:
        return f"It follows when {', '.join(part.after)} is done."
    if state is not ModuleState.WAITING:
        return _SAID[state]
    if segment is None or len(segment.parts) == 1:
        return "It waits for an executor that can do it; none can do all that is left."
    return (
        "One executor runs it with the others of its task." if together else "It can be done, but not all of its task."
    )


def chain_sentence(modules: tuple[ModuleWhy, ...]) -> str:
    """Return in one sentence which modules nobody can do; empty where all can be done."""
    lacking = [f"{one.module} ({one.sentence.partition(': ')[2].rstrip('.')})" for one in modules if one.missing]
    return f"No executor can do {', '.join(lacking)}." if lacking else ""
