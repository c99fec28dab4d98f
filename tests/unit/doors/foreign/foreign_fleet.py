"""A scheduler's client without a scheduler, for tests that end its jobs as they like."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo, NotFound, SchedulerUnavailable, Unavailable
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.node import NodeState


class FakeFleet:
    """Keeps jobs until `complete` or `fail` is told of them; a key finds the same job again."""

    def __init__(self) -> None:
        self.base_url = "http://127.0.0.1:1"
        self.artifacts = self
        self.submitted: list[Submission] = []
        self.views: dict[str, JobView] = {}
        self.keys: dict[str, str] = {}
        self.retried: list[str] = []
        self.busy_retries = 0
        """How many retries still fail."""
        self.node_state = NodeState.READY
        self.is_away = False
        self.full_disks = 0
        """How many downloads still fail."""
        self.in_submit = asyncio.Event()
        self.may_submit = asyncio.Event()
        self.may_submit.set()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def submit(self, submission: Submission) -> JobView:
        self._check()
        self.in_submit.set()
        await self.may_submit.wait()
        if submission.idempotency_key not in self.keys:
            self.submitted.append(submission)
            job_id = f"j0-{len(self.submitted):016}"
            self.keys[submission.idempotency_key] = job_id
            self._set(
                JobView(
                    job_id, submission.kind, "film", JobStatus.PENDING, 0.0, "", PriorityClass.BATCH, "default", 0, 1
                )
            )
        return self.views[self.keys[submission.idempotency_key]]

    async def job(self, job_id: str, *, wait_s: float = 0) -> JobView:
        self._check()
        if job_id not in self.views:
            raise NotFound(f"There is no job {job_id}.")
        if wait_s and self.views[job_id].status is JobStatus.PENDING:
            self._news.clear()
            try:
                async with asyncio.timeout(min(wait_s, 0.05)):
                    await self._news.wait()
            except TimeoutError:
                pass
        return self.views[job_id]

    async def cancel(self, job_id: str) -> JobView:
        self._check()
        return self._change(job_id, status=JobStatus.CANCELLED)

    async def retry(self, job_id: str) -> JobView:
        self._check()
        if self.busy_retries:
            self.busy_retries -= 1
            raise SchedulerUnavailable("Not now.")
        self.retried.append(job_id)
        return self._change(job_id, status=JobStatus.PENDING, error=None)

    async def nodes(self) -> list[Any]:
        self._check()
        executor = SimpleNamespace(capabilities=("hw:nvenc",))
        return [SimpleNamespace(state=self.node_state, executors=(executor,))]

    async def download(self, ref: ArtifactRef, to: Path) -> None:
        if self.full_disks:
            self.full_disks -= 1
            raise Unavailable("The disk is full.")
        await asyncio.to_thread(to.write_text, ref.name)

    async def job_news(self) -> None:
        """Wait until a job changes, or is new."""
        self._news.clear()
        await self._news.wait()

    def reach(self, job_id: str, progress: float, stage: str) -> None:
        """Be so far with a job."""
        self._change(job_id, progress=progress, stage=stage)

    def complete(self, job_id: str, spoken: str = "eo") -> None:
        """End a job well, with a file for each language and format."""
        params = next(one for one in self.submitted if self.keys[one.idempotency_key] == job_id).params
        files = [
            {"name": f"film.{language}.{form}", "language": language, "format": form}
            for language in (spoken, *params["to"])
            for form in params["formats"]
        ]
        outputs = tuple(ArtifactRef(f"a0-{at}", file["name"]) for at, file in enumerate(files))
        result = {"language": spoken, "files": files}
        self._change(job_id, status=JobStatus.COMPLETED, outputs=outputs, result=result)

    def fail(self, job_id: str, sentence: str) -> None:
        """End a job badly."""
        self._change(job_id, status=JobStatus.FAILED, error=ErrorInfo("task-failed", sentence))

    def _check(self) -> None:
        if self.is_away:
            raise SchedulerUnavailable("Nobody is there.")

    def _change(self, job_id: str, **fields: Any) -> JobView:
        return self._set(msgspec.structs.replace(self.views[job_id], **fields))

    def _set(self, view: JobView) -> JobView:
        self.views[view.id] = view
        self._news.set()
        return view
