"""Reads batches: their jobs by an index, and of each the few fields that tell how far it is; never writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.batch import BatchJob, JobPace
from mediafleet.domain.job import shown_status
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.store.keys import Keys

PIECE = 500
"""Jobs of one round trip."""
_FIELDS = ("status", "progress", "started", "finished", "stage", "speed", "eta_ms")


class _Named(msgspec.Struct):
    name: str


class BatchEntry(msgspec.Struct, frozen=True):
    """One job of a batch, when it was accepted and how far it is."""

    created_ms: int
    job: BatchJob
    pace: JobPace


async def read_batch(redis: Any, keys: Keys, batch: str) -> list[BatchEntry]:
    """Return all jobs of a batch in this cell, in the order in which they came; without names (`read_names`)."""
    with translate_errors():
        found = await redis.zrange(keys.batch(batch), 0, -1, withscores=True)
        entries: list[BatchEntry] = []
        for start in range(0, len(found), PIECE):
            piece = found[start : start + PIECE]
            pipeline = redis.pipeline(transaction=False)
            for name, _ in piece:
                pipeline.hmget(keys.job(name.decode()), *_FIELDS)
            answers = await pipeline.execute()
            entries += [
                _entry(name.decode(), int(created), [(value or b"").decode() for value in values])
                for (name, created), values in zip(piece, answers, strict=True)
                if values[0]
            ]
        return entries


async def read_names(redis: Any, keys: Keys, jobs: Sequence[str]) -> dict[str, str]:
    """Return what jobs are called, by id."""
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        for job in jobs:
            pipeline.hget(keys.job(job), "doc")
        docs = await pipeline.execute()
    return {job: msgspec.json.decode(doc, type=_Named).name for job, doc in zip(jobs, docs, strict=True) if doc}


def _entry(job: str, created_ms: int, values: Sequence[str]) -> BatchEntry:
    status, progress, started, finished, stage, speed, eta = values
    share = min(1.0, max(0.0, float(progress or 0)))
    pace = JobPace(shown_status(JobStatus(status), stage), share, _whole(started), _whole(finished))
    view = BatchJob(job, "", pace.status, share, stage, float(speed) if speed else None, _eta(pace.status, eta))
    return BatchEntry(created_ms, view, pace)


def _whole(text: str) -> int | None:
    return int(float(text)) if text else None


def _eta(status: JobStatus, text: str) -> int | None:
    # What was told before a pause, or before the end, says nothing any more.
    return _whole(text) if status in {JobStatus.PROCESSING, JobStatus.UPLOADING} else None
