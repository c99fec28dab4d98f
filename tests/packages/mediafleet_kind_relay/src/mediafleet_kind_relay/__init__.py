"""A job kind from outside: splits a text, works on the parts wherever there is room, joins them.

It uses nothing but the public seam, and passes every part between nodes as an artifact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mediafleet.domain.errors import TaskFailed, TransientFailure
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step, TaskLimits, TaskResult
from mediafleet.kinds import Kind, TaskContext

LOOK_EVERY_S = 0.02


class RelayParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a relay job."""

    text: str
    parts: int = 2
    """How many tasks share the text."""
    gate: str = ""
    """A file that must exist before a part is done: lets a test decide when work ends."""
    trace: str = ""
    """A folder where each attempt at a part leaves a file, named for it."""
    fail: str = ""
    """`once`: each part's first try fails; `first`: it fails for good; `always`: every try fails for good."""
    slow_ms: int = 0
    """Longest run of a part, milliseconds; 0 for no limit."""


def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Split, then all parts, then join."""
    done = {task.name: task for task in finished if task.state is TaskState.DONE}
    failed = next((task for task in finished if task.state is TaskState.FAILED), None)
    if failed and failed.error:
        return Fail(failed.error)
    count = int(job.params["parts"])
    split = NewTask(name="split", step="split")
    if "split" not in done:
        return Expand((split,))
    limits = TaskLimits(max_tries=3, total_ms=int(job.params["slow_ms"]))
    parts = tuple(
        NewTask(name=f"part-{n}", step="part", inputs=(done["split"].outputs[n],), payload={"n": n}, limits=limits)
        for n in range(count)
    )
    if not all(part.name in done for part in parts):
        return Expand(parts)
    results = tuple(done[part.name].outputs[0] for part in parts)
    if "join" not in done:
        return Expand((NewTask(name="join", step="join", inputs=results),))
    nodes = [done[part.name].result["node"] for part in parts]
    return Complete(result={"nodes": nodes}, outputs=done["join"].outputs)


async def split(context: TaskContext) -> TaskResult:
    """Publish one file a part."""
    text, count = context.spec.params["text"], context.spec.params["parts"]
    size = -(-len(text) // count)
    outputs = [
        await context.publish(_write(context, f"{n}.txt", text[n * size : (n + 1) * size]), name=f"{n}.txt")
        for n in range(count)
    ]
    return TaskResult(outputs=tuple(outputs))


async def part(context: TaskContext) -> TaskResult:
    """Turn one part into capitals, once the gate is open."""
    params, n = context.spec.params, context.spec.payload["n"]
    first = _leave_trace(params["trace"], n)
    if params["fail"] == "always" or (params["fail"] == "first" and first):
        raise TaskFailed(f"Part {n} cannot be done.")
    if params["fail"] == "once" and first:
        raise TransientFailure(f"Part {n} did not work this time.")
    while params["gate"] and not _is_open(params["gate"]):
        context.report(0.5, stage="waiting")
        await asyncio.sleep(LOOK_EVERY_S)
    source = await context.fetch(context.spec.inputs[0])
    made = _write(context, "part.txt", source.read_text().upper())
    return TaskResult(
        result={"node": context.workspace.parts[-3]}, outputs=(await context.publish(made, name=f"part-{n}.txt"),)
    )


async def join(context: TaskContext) -> TaskResult:
    """Put the parts together again."""
    texts = [(await context.fetch(ref)).read_text() for ref in context.spec.inputs]
    return TaskResult(outputs=(await context.publish(_write(context, "all.txt", "".join(texts)), name="all.txt"),))


def _write(context: TaskContext, name: str, text: str) -> Path:
    path = context.workspace / name
    path.write_text(text)
    return path


def _is_open(gate: str) -> bool:
    return Path(gate).exists()


def _leave_trace(folder: str, n: int) -> bool:
    """Note an attempt at a part; tell whether it is the first."""
    if not folder:
        return True
    number = len(list(Path(folder).glob(f"part-{n}.*")))
    (Path(folder) / f"part-{n}.{number}").touch()
    return number == 0


KIND = Kind(
    name="relay",
    version=1,
    params=RelayParams,
    plan=plan,
    handlers={"split": split, "part": part, "join": join},
    summary="Send the parts of a text around.",
    inputs=(0, 0),
)
