"""How numbers and states read to a person; pure functions, used as template filters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mediafleet.domain.job import JobView, shown_stage
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, RETRYABLE_JOB_STATUSES, JobStatus
from mediafleet.domain.node import NodeState

_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_STEP = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

STATUS_MEANINGS = {
    JobStatus.PENDING: "Waiting for a free executor",
    JobStatus.UPLOADING: "An input is on its way",
    JobStatus.PROCESSING: "A node works on it",
    JobStatus.PAUSED: "Nothing of it begins until it is resumed",
    JobStatus.REVIEW: "Waiting for a person to look through it",
    JobStatus.COMPLETED: "Done and verified",
    JobStatus.FAILED: "Could not be done",
    JobStatus.CANCELLED: "Ended by a person",
}
NODE_MEANINGS = {
    NodeState.WARMUP: "Finds out what it can do, takes no work yet",
    NodeState.READY: "Takes work",
    NodeState.DEGRADED: "Too little of it is free: goes on with what it runs, takes nothing new",
    NodeState.DRAINING: "Finishes what it runs, takes nothing new",
    NodeState.PAUSED: "Takes nothing new until it is resumed",
    NodeState.UNLINKED: "Its link is down; it may still be working",
    NodeState.OFFLINE: "Gone",
}


def size_text(count: int) -> str:
    """Return a number of bytes as `1.2 GB`, or an empty string where it is not known."""
    if count < 0:
        return ""
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    digits = 1 if unit and value < 100 else 0  # noqa: PLR2004 - three digits say enough
    return f"{value:.{digits}f} {_UNITS[unit]}"


def span_text(milliseconds: int | None) -> str:
    """Return a stretch of time as `3 min 20 s`, or an empty string for None."""
    if milliseconds is None:
        return ""
    seconds = max(0, round(milliseconds / 1000))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def ago_text(then_ms: int, now_ms: int) -> str:
    """Return how long ago something was, coarsely: `5 min ago`."""
    # Jobs carry the store's time and `now` is this machine's: a clock a little behind must not show the future.
    seconds = max(0, (now_ms - then_ms) // 1000)
    for limit, unit, word in ((5, 0, "just now"), (_MINUTE, 1, "s"), (_HOUR, _MINUTE, "min"), (_DAY, _HOUR, "h")):
        if seconds < limit:
            return word if not unit else f"{seconds // unit} {word} ago"
    days = seconds // _DAY
    return "1 day ago" if days == 1 else f"{days} days ago"


def iso_text(moment_ms: int) -> str:
    """Return a moment for the `datetime` attribute."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="seconds")


def percent(fraction: float) -> int:
    """Return a share as whole per cent: 100 only where nothing is left."""
    # 0.29 * 100 is 28.999…, which would be shown as 28. The nudge is the same in console.js, or bars would jump.
    return min(100, max(0, int(fraction * 100 + 1e-6)))


def pace_text(view: JobView) -> str:
    """Return what is known of a running job's pace: `encoding · 3.2× · 20 s left`."""
    speed = f"{view.speed:.1f}×" if view.speed is not None else ""
    left = f"{span_text(view.eta_ms)} left" if view.eta_ms is not None else ""
    return " · ".join(part for part in (shown_stage(view.stage), speed, left) if part)


def took_text(view: JobView) -> str:
    """Return how long a finished job ran."""
    if view.started_ms is None or view.finished_ms is None:
        return ""
    return span_text(view.finished_ms - view.started_ms)


def is_final(view: JobView) -> bool:
    """Tell whether nothing more happens to a job by itself."""
    return view.status in FINAL_JOB_STATUSES


def can_retry(view: JobView) -> bool:
    """Tell whether a person may give the job another go."""
    return view.status in RETRYABLE_JOB_STATUSES


def is_preview(kind: str, params: Mapping[str, Any]) -> bool:
    """Tell whether a job only says what it would do, in a table of streams."""
    return kind == "transcode" and params.get("dry_run") is True
