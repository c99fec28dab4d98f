"""Runs one attempt: workspace, children, handler, and what its end means."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.errors import MediafleetError, TaskFailed, TransientFailure, UnknownKind
from mediafleet.domain.frames import Outcome, encode_frame
from mediafleet.domain.plan import TaskResult
from mediafleet.node.context import AttemptContext
from mediafleet.node.executors import count_cores
from mediafleet.node.state import LARGEST_OUTCOME_BYTES
from mediafleet.ops import traces

if TYPE_CHECKING:
    from mediafleet.artifacts.originals import Originals
    from mediafleet.domain.errors import ErrorInfo
    from mediafleet.domain.frames import Assignment
    from mediafleet.domain.plan import TaskSpec
    from mediafleet.kinds.registry import KindRegistry
    from mediafleet.node.context import ArtifactTransfer, Persistence
    from mediafleet.node.engines import NodeEngines
    from mediafleet.node.processes import Launcher
    from mediafleet.node.progress import ProgressBoard
    from mediafleet.node.state import Ending, Start
    from mediafleet.node.workspace import Workspaces

_DETAIL_CHARACTERS = 4000

_log = structlog.get_logger(__name__)


def bind_attempt(assignment: Assignment) -> None:
    """Let every log line of the present asyncio task say which attempt it is about; each attempt has its own tasks."""
    structlog.contextvars.bind_contextvars(
        job=assignment.job, task=assignment.task, attempt=assignment.attempt, executor=assignment.executor
    )


def find_missing(kinds: KindRegistry, spec: TaskSpec) -> str:
    """Return the capability that this node lacks for a task, or an empty text."""
    try:
        kind = kinds.get(spec.kind)
    except UnknownKind:
        return f"kind:{spec.kind}"
    if spec.kind_version not in kind.versions:
        return f"kind:{spec.kind}@{spec.kind_version}"
    return "" if spec.step in kind.handlers else f"kind:{spec.kind}/{spec.step}"


@dataclass(frozen=True)
class Runner:
    """What all attempts of a node share."""

    kinds: KindRegistry
    workspaces: Workspaces
    launcher: Launcher
    artifacts: ArtifactTransfer
    persistence: Persistence
    board: ProgressBoard
    originals: Originals
    engines: NodeEngines

    async def run(self, start: Start) -> Ending:
        """Run the attempt to its end; when this returns, its children and its workspace are gone.

        Raises nothing but what ends the whole process; a cancel ends the attempt with None.
        """
        bind_attempt(start.assignment)
        given, spec = start.assignment, start.spec
        about = {
            "job": given.job,
            "task": given.task,
            "attempt": given.attempt,
            "executor": given.executor,
            "kind": spec.kind,
            "step": spec.step,
        }
        with traces.running(spec.traceparent, about) as note_failure:
            ending = await self._end_of(start)
            if not isinstance(ending, TaskResult):
                note_failure(ending.message if ending else "stopped")
            return ending

    async def _end_of(self, start: Start) -> Ending:
        try:
            return _checked(start, await self._run_handler(start))
        except asyncio.CancelledError:
            return None
        # What a handler raises may hold a whole log, and an error travels in a frame of limited size.
        except MediafleetError as error:
            return _trimmed(error.info())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plug-in boundary: a handler must never take the node down
            return _explain_fault(start, error)

    async def _run_handler(self, start: Start) -> TaskResult:
        handler = self.kinds.get(start.spec.kind).handlers[start.spec.step]
        label = f"{start.assignment.task}-{start.assignment.attempt}"
        # The children end before their folder is removed: a writer would fill it again behind the removal.
        async with self.workspaces.open(label) as workspace, self.launcher.children(workspace) as children:
            return await handler(
                AttemptContext(
                    start.assignment,
                    start.spec,
                    max(1, int(count_cores() * start.share)),
                    workspace,
                    children,
                    self.artifacts,
                    self.persistence,
                    self.board,
                    self.originals,
                    self.engines.of(start.assignment.executor, most=int(1 / start.share)),
                )
            )


def _checked(start: Start, result: object) -> TaskResult:
    """Return the result if it can be sent.

    Raises:
        TaskFailed: It is no result, or is too large.
    """
    spec = start.spec
    if not isinstance(result, TaskResult):
        raise TaskFailed(
            f"The step {spec.step!r} of the kind {spec.kind!r} returned no TaskResult: the kind is faulty."
        )
    # Checked here, where it fails one task. On the link a frame that is too large would cost the link, again and again.
    size = len(encode_frame(Outcome(start.assignment.task, start.assignment.grant, result=result)))
    if size > LARGEST_OUTCOME_BYTES:
        raise TaskFailed(
            f"The result of the step {spec.step!r} is {size:,} bytes as JSON, more than {LARGEST_OUTCOME_BYTES:,}; "
            "the kind should publish it as an artifact."
        )
    return result


def _explain_fault(start: Start, error: BaseException) -> ErrorInfo:
    spec = start.spec
    _log.error("handler failed unexpectedly", kind=spec.kind, step=spec.step, reason=repr(error), exc_info=error)
    # A fault of the code may still be one of this machine (a library, memory), so another node gets its try.
    return TransientFailure(
        f"The step {spec.step!r} of the kind {spec.kind!r} failed unexpectedly ({type(error).__name__}).",
        detail="".join(traceback.format_exception(error))[-_DETAIL_CHARACTERS:],
    ).info()


def _trimmed(info: ErrorInfo) -> ErrorInfo:
    return type(info)(info.code, info.message[:_DETAIL_CHARACTERS], info.retryable, info.detail[-_DETAIL_CHARACTERS:])
