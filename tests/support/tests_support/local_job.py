"""A whole job in this process: its plan, and the steps that it asks for one after the other, without a scheduler or a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, TaskSpec
from mediafleet.engines import EngineRegistry, Where
from mediafleet.engines.warm import WarmEngines
from mediafleet.kinds.seam import Kind
from mediafleet.testing import LocalEngines, LocalTaskContext, ref_to


async def run_job(kind: Kind, *sources: Path, folder: Path, models: Path, **params: Any) -> tuple[Complete, Path]:
    """Return the outcome of a job that must complete, and the folder in which its files lie under their names."""
    inputs = tuple(map(ref_to, sources))
    job = Job("j0-1", "0", "default", "alice", kind.name, kind.version, "", inputs, params, PriorityClass.BATCH, 0)
    finished: dict[str, FinishedTask] = {}
    async with WarmEngines() as warm:
        engines = LocalEngines(EngineRegistry.installed(Where(models=str(models))), warm)
        while True:
            step = kind.plan(job, tuple(finished.values()))
            if isinstance(step, Complete):
                return step, _gather(step, folder / "results")
            assert isinstance(step, Expand), step.error if isinstance(step, Fail) else step
            task = next(task for task in step.tasks if task.name not in finished)
            spec = TaskSpec(
                kind=kind.name,
                kind_version=kind.version,
                step=task.step,
                name=task.name,
                tenant=job.tenant,
                inputs=task.inputs,
                params=params,
                payload=task.payload,
            )
            context = LocalTaskContext(spec, folder=folder / task.name)
            context.engines = engines
            result = await kind.handlers[task.step](context)
            finished[task.name] = FinishedTask(
                task.name, task.step, TaskState.DONE, result.result, result.outputs, result.warnings
            )


def _gather(outcome: Complete, folder: Path) -> Path:
    folder.mkdir()
    for output in outcome.outputs:
        (folder / output.name).symlink_to(unquote(output.uri.removeprefix("file://")))
    return folder
