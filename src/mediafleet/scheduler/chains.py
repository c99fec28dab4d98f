"""Between plans that name chains and the tasks that run them: pure, from what is recorded to what is to be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.capability import Requirement, kind_capability
from mediafleet.domain.chain import CHAIN_STEP, Chain, ChainPart, part_name
from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.ids import task_id
from mediafleet.domain.layout import ChainRecord, FleetFacts, Segment, SegmentState, lay_out
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.limits import TaskLimits
from mediafleet.domain.plan import Expand, FinishedTask, NewTask
from mediafleet.kinds.chains import OUTPUTS, PARTS, RESULTS, PartOutcome, part_inputs
from mediafleet.scheduler.tasks import expand_pieces

if TYPE_CHECKING:
    from mediafleet.kinds.seam import Kind
    from mediafleet.store.records import ExpandPiece
    from mediafleet.store.views import PlanState

MOST_TURNS = 9
"""A chain whose executors are lost again and again is not laid out for ever; one digit, so that names stay short."""

Records = dict[str, ChainRecord]
"""The chains of a job by name."""


def read_records(text: str) -> Records:
    """Return what is recorded of a job's chains; nothing for an empty text. Raises InvalidRequest."""
    try:
        return {record.name: record for record in msgspec.json.decode(text or "[]", type=list[ChainRecord])}
    except msgspec.DecodeError as error:
        # While versions are mixed: to raise anything else would hold up the jobs behind this one.
        raise InvalidRequest(f"What a newer version decided about the job's chains cannot be read: {error}.") from error


def write_records(records: Records) -> str:
    """Return records as they are stored."""
    return msgspec.json.encode(list(records.values())).decode()


@dataclass(frozen=True)
class Laid:
    """What a plan with chains comes to."""

    tasks: tuple[NewTask, ...]
    """Those that should exist by now, of the chains and of the plan itself."""
    drop: tuple[str, ...]
    """Names of tasks that no executor has and that something else stands for by now."""
    record: str
    """What to record."""
    weight: float
    """What the job's weight is to change by, beside the weights of the tasks that are new."""
    is_open: bool
    """Whether any of it may be decided anew when the fleet changes."""


# --- results -----------------------------------------------------------------------------------


def by_module(finished: Sequence[FinishedTask], records: Records) -> list[FinishedTask]:
    """Return final tasks as plans see them: one for each module, whatever tasks ran them."""
    segments = {segment.task: (record, segment) for record in records.values() for segment in record.segments}
    found: list[FinishedTask] = []
    for task in finished:
        if task.name in segments:
            found += _modules_of(task, *segments[task.name])
        else:
            found.append(task)
    return found


def _modules_of(task: FinishedTask, record: ChainRecord, segment: Segment) -> list[FinishedTask]:
    names = [part_name(record.name, part) for part in segment.parts]
    first = msgspec.structs.replace(task, name=names[0], step=segment.parts[0])
    # Of a task that failed, one module stands for all: which it was, its error says.
    if task.state is not TaskState.DONE or len(names) == 1:
        return [first]
    try:
        outcomes = msgspec.convert(task.result, dict[str, PartOutcome])
        return _split(task, [(name, part, outcomes[part]) for name, part in zip(names, segment.parts, strict=True)])
    except (msgspec.ValidationError, KeyError):
        error = ErrorInfo("no-result", f"The task {task.name!r} did not say what each of its modules gave.")
        return [msgspec.structs.replace(first, state=TaskState.FAILED, error=error)]


def _split(task: FinishedTask, outcomes: Sequence[tuple[str, str, PartOutcome]]) -> list[FinishedTask]:
    found: list[FinishedTask] = []
    start = 0
    for name, part, own in outcomes:
        outputs = task.outputs[start : start + own.outputs]
        start += own.outputs
        found.append(FinishedTask(name, part, TaskState.DONE, own.result, outputs, own.warnings, node=task.node))
    return found


# --- layout ------------------------------------------------------------------------------------


def lay_out_plan(state: PlanState, step: Expand, kind: Kind, facts: FleetFacts) -> Laid:
    """Return the tasks of a plan that names chains, decided by what the fleet has now; pure.

    What has begun stays as it was decided. Raises InvalidRequest.
    """
    _check_chains(step)
    records = read_records(state.chains)
    standing = _states(state, records)
    done = {task.name: task for task in by_module(state.finished, records) if task.state is TaskState.DONE}
    before = {name: record.with_states(standing) for name, record in records.items()}
    after = dict(before)
    tasks = list(step.tasks)
    weight = 0.0
    for chain in step.chains:
        known = before.get(chain.name)
        # The job stands for the whole chain from the start: its progress would go back with each further step.
        weight += 0.0 if known else sum(part.weight for part in chain.parts)
        if known and known.parts != chain.parts:
            raise InvalidRequest(f"The plan names the chain {chain.name!r} with other modules than before.")
        record = known or ChainRecord(chain.name, chain.parts, (kind_capability(kind.name, state.job.kind_version),))
        after[chain.name] = record = _lay_out_again(record, facts, state.waiting)
        new = [_task(chain, one, done) for one in record.segments if one.state is SegmentState.WAITING]
        old = known.waiting if known else {}
        weight -= sum(task.weight for task in new if old.get(task.name) != record.waiting[task.name])
        tasks += new
    _check_names(step, after)
    return Laid(
        tasks=tuple(tasks),
        drop=tuple(task for name, record in before.items() for task in _replaced(record, after[name])),
        record=write_records(after),
        weight=weight,
        is_open=any(record.is_open for record in after.values()),
    )


def _lay_out_again(record: ChainRecord, facts: FleetFacts, attempts: Mapping[str, int]) -> ChainRecord:
    laid = lay_out(record, facts)
    if not any(attempts.get(task) for task in _replaced(record, laid)):
        return laid
    # An executor that lost such a task may still be at it, and tells its attempts apart by task and number: what
    # stands for the task now has another name.
    if record.turn < MOST_TURNS:
        return lay_out(msgspec.structs.replace(record, turn=record.turn + 1), facts)
    return record


def _replaced(before: ChainRecord, after: ChainRecord) -> list[str]:
    # Also one of the same name that needs something else now: it waits in another queue.
    return [task for task, segment in before.waiting.items() if after.waiting.get(task) != segment]


def _states(state: PlanState, records: Records) -> dict[str, SegmentState]:
    final = {task.name: task.state for task in state.finished}
    found: dict[str, SegmentState] = {}
    for name in (segment.task for record in records.values() for segment in record.segments):
        if name in final:
            found[name] = SegmentState.DONE if final[name] is TaskState.DONE else SegmentState.ENDED
        elif name in state.waiting:
            found[name] = SegmentState.WAITING
        else:
            found[name] = SegmentState.BEGUN
    return found


def _check_chains(step: Expand) -> None:
    names = [chain.name for chain in step.chains]
    if len(set(names)) < len(names):
        raise InvalidRequest(f"The plan names two chains {max(names, key=names.count)!r}; each needs its own name.")
    for chain in step.chains:
        if not chain.parts:
            raise InvalidRequest(f"The plan names a chain {chain.name!r} without modules.")
        earlier: set[str] = set()
        for part in chain.parts:
            if part.name in earlier or not earlier.issuperset(part.after):
                raise InvalidRequest(f"The module {part.name!r} of the chain {chain.name!r} stands twice or too early.")
            earlier.add(part.name)


def _check_names(step: Expand, records: Records) -> None:
    taken = {segment.task for record in records.values() for segment in record.segments}
    both = taken & {task.name for task in step.tasks}
    if both:
        raise InvalidRequest(f"The plan names a task {min(both)!r}, which is the name of a task of its chain.")


def _task(chain: Chain, segment: Segment, done: Mapping[str, FinishedTask]) -> NewTask:
    """Return the task of a segment; all that its parts need of earlier ones is done."""
    parts = [part for part in chain.parts if part.name in segment.parts]
    earlier = {
        name: done[part_name(chain.name, name)]
        for name in dict.fromkeys(name for part in parts for name in part.after)
        if name not in segment.parts
    }
    outputs = {name: task.outputs for name, task in earlier.items()}
    is_single = len(parts) == 1
    inputs = part_inputs(parts[0], outputs, chain.inputs) if is_single else chain.inputs
    payload: dict[str, Any] = {**chain.payload, RESULTS: {name: task.result for name, task in earlier.items()}}
    if not is_single:
        payload |= {PARTS: msgspec.to_builtins(parts), OUTPUTS: msgspec.to_builtins(outputs)}
    return NewTask(
        name=segment.task,
        step=parts[0].name if is_single else CHAIN_STEP,
        requirement=Requirement(segment.capabilities, segment.slots),
        inputs=inputs,
        payload=payload,
        weight=sum(part.weight for part in parts),
        limits=_limits(parts),
        near=tuple(dict.fromkeys(task.node for task in earlier.values() if task.node)),
    )


def _limits(parts: Sequence[ChainPart]) -> TaskLimits:
    """Return the limits of parts together: the loosest of each kind, and all their time; 0 where one has none."""

    def together(name: str, combine: Callable[[list[int]], int]) -> int:
        values: list[int] = [getattr(part.limits, name) for part in parts]
        return combine(values) if all(values) else 0

    loosest = {name: together(name, max) for name in ("accept_ms", "queue_ms", "progress_ms", "deadline_ms")}
    most_tries = max(part.limits.max_tries for part in parts)
    return TaskLimits(max_tries=most_tries, total_ms=together("total_ms", sum), **loosest)


def expand_chains(state: PlanState, step: Expand, kind: Kind, facts: FleetFacts) -> list[ExpandPiece]:
    """Return a plan that names chains as the script calls that apply it. Raises InvalidRequest."""
    laid = lay_out_plan(state, step, kind, facts)
    plain = msgspec.structs.replace(step, tasks=laid.tasks, chains=())
    known = state.names - set(laid.drop)
    # Plans are asked when a task becomes final, so this one would never be asked again.
    if not state.runnable and known.issuperset(task.name for task in laid.tasks):
        raise InvalidRequest(f"The plan of {kind.name!r} names chains that have ended, and no task is left to run.")
    return [
        msgspec.structs.replace(
            piece,
            chains=laid.record,
            seen=state.chains,
            drop=[task_id(state.job.id, name) for name in laid.drop],
            more_weight=laid.weight,
            waits=laid.is_open,
            pools=facts.version,
        )
        for piece in expand_pieces(state.job, state.version, plain, kind, known=known)
    ]


def end_chains(piece: ExpandPiece, state: PlanState) -> ExpandPiece:
    """Return the end of a job so that its chains, if it has any, are not looked at any more."""
    return msgspec.structs.replace(piece, chains=state.chains, seen=state.chains)
