"""One input of a command and what has become of it: what displays draw and the JSON document lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import JobStatus

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.domain.job import JobView


INTERRUPTED = ErrorInfo("cancelled", "Interrupted.")
"""Why an item ended that no job was handed in for."""


SKIPPED = "skipped"
"""Status of an item for which nothing had to be done."""


class Phase(StrEnum):
    """What happens to an item now, as a user names it."""

    WAITING = "waiting"
    UPLOADING = "uploading"
    WORKING = "working"
    """The fleet has the job; its own stage word says more."""
    FETCHING = "fetching"
    OVER = "over"


@dataclass
class Item:
    """One input; changed only by the batch that works on it."""

    path: Path
    place: Path
    """Where its result goes, without the ending."""
    stem: str = ""
    """What the names of its results begin with in the fleet; the input's own where empty."""
    more: tuple[Path, ...] = ()
    """Further inputs of its job."""
    params: dict[str, Any] | None = None
    """In place of those of all; None where it has none of its own."""
    ending: str = ""
    """Of its result where its own params say so."""
    phase: Phase = Phase.WAITING
    replaces: bool = False
    """Whether its result takes its place, and nothing is fetched."""
    progress: float = 0.0
    """0..1 of the phase."""
    stage: str = ""
    speed: float | None = None
    eta_ms: int | None = None
    job: str = ""
    status: str = "waiting"
    """The job's status; `failed` also where no job came to be."""
    outputs: list[Path] = field(default_factory=list["Path"])
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether the work succeeded and its results are here."""
        return self.status in {JobStatus.COMPLETED, SKIPPED} and self.error is None

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.phase, self.progress, self.stage, self.speed, self.eta_ms = phase, 0.0, "", None, None

    def take(self, view: JobView) -> None:
        """Note what a job's view says."""
        if self.phase is not Phase.WORKING:
            self.enter(Phase.WORKING)
        self.job, self.status, self.progress, self.stage = view.id, view.status, view.progress, view.stage
        self.speed, self.eta_ms, self.warnings, self.error = view.speed, view.eta_ms, view.warnings, view.error

    def fail(self, error: ErrorInfo) -> None:
        """Note why it ended; a job that completed has failed for the user if its result is not here."""
        self.error, self.status = error, JobStatus.FAILED

    def cancel(self, error: ErrorInfo) -> None:
        """Note that the user gave it up; the error says what is known of its job."""
        self.phase, self.error, self.status = Phase.OVER, error, JobStatus.CANCELLED

    def skip(self, reason: str) -> None:
        """Note that nothing has to be done for it."""
        self.phase, self.status, self.stage = Phase.OVER, SKIPPED, reason

    def document(self) -> dict[str, Any]:
        """Return the item as the JSON list shows it."""
        return {
            "input": str(self.path),
            "job": self.job or None,
            "status": self.status,
            "output": str(self.outputs[0]) if self.outputs else None,
            "outputs": [str(path) for path in self.outputs],
            "error": {"code": self.error.code, "message": self.error.message} if self.error else None,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
        }
