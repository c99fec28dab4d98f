"""Every error that mediafleet raises on purpose.

    MediafleetError
    ├── InputError            what the user gave is wrong; trying again cannot help
    │   ├── UnknownKind · InvalidParams · InvalidRequest
    │   └── UnreadableMedia   the input is not media, is broken, or is encrypted
    ├── ConfigError           settings that cannot work; raised before anything starts
    ├── NotFound              no such job, node or artifact (or its retention ended)
    ├── Conflict              the thing exists but its state forbids this
    │   ├── IllegalTransition · DataDirectoryInUse
    │   ├── Outdated          what was sent answers to something older
    │   └── UploadMismatch    offset, length or SHA-256 differ from what was announced
    ├── Unauthorized          a credential is missing or wrong
    ├── Unavailable           a part is away for now; trying again later can help
    │   ├── QueueFull         as many tasks wait or run as the operator allows; nothing was taken
    │   ├── StoreUnavailable · SchedulerUnavailable
    │   ├── FleetEnding       it takes no clients any more; another can be started once it is gone
    │   └── CapabilityMissing an executor lacks what a task needs; costs no try
    └── TaskFailed            a handler could not do its task
        ├── TransientFailure  the next try may succeed
        └── OutputRejected    the result was made but did not pass verification

Each class carries a stable `code` (used in problem documents, JSON output and the store) and says
whether a retry can help. The message is one sentence that names what is wrong and what to do.
"""

from __future__ import annotations

import msgspec


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it is stored and sent: what a user sees of a failed task or job."""

    code: str
    """Stable slug of the class, for example `unreadable-media`."""
    message: str
    """One sentence a user can act on."""
    retryable: bool = False
    """Whether trying the same again can help."""
    detail: str = ""
    """Material for an engineer (a log excerpt); never needed to understand `message`."""


class MediafleetError(Exception):
    """Root of all errors raised on purpose."""

    code = "error"
    retryable = False

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def info(self) -> ErrorInfo:
        """Return the storable form of this error."""
        return ErrorInfo(self.code, self.message, self.retryable, self.detail)


class InputError(MediafleetError):
    """What the user gave is wrong; trying again cannot help."""

    code = "input-error"


class UnknownKind(InputError):
    """No installed job kind has this name."""

    code = "unknown-kind"


class InvalidParams(InputError):
    """The params do not fit the kind's params type."""

    code = "invalid-params"


class InvalidRequest(InputError):
    """A request or message that is malformed."""

    code = "invalid-request"


class UnreadableMedia(InputError):
    """The input is not media, is broken, is encrypted, or points elsewhere."""

    code = "unreadable-media"


class ConfigError(MediafleetError):
    """Settings that cannot work; raised before anything starts."""

    code = "config-error"


class NotFound(MediafleetError):
    """No such job, node or artifact, or its retention has ended."""

    code = "not-found"


class Conflict(MediafleetError):
    """The thing exists, but its state forbids what was asked."""

    code = "conflict"


class IllegalTransition(Conflict):
    """An event that the state table does not allow from this state."""

    code = "illegal-transition"

    def __init__(self, subject: str, state: str, event: str, history: tuple[str, ...] = ()) -> None:
        past = f" (history: {' → '.join(history)})" if history else ""
        # Plain quotes and not `!r`: the representation of an enum member is for programmers.
        super().__init__(f"{subject} is {state}; '{event}' is not possible from there{past}.")
        self.subject, self.state, self.event, self.history = subject, state, event, history


class Outdated(Conflict):
    """What was sent answers to something older than what there is now; nothing was changed."""

    code = "outdated"


class DataDirectoryInUse(Conflict):
    """Another process already runs on this data directory."""

    code = "data-directory-in-use"


class UploadMismatch(Conflict):
    """Offset, length or SHA-256 of an upload differ from what was announced."""

    code = "upload-mismatch"


class Unauthorized(MediafleetError):
    """A credential is missing or wrong."""

    code = "unauthorized"


class Unavailable(MediafleetError):
    """A part is away for now; trying again later can help."""

    code = "unavailable"
    retryable = True


class StoreUnavailable(Unavailable):
    """Redis did not answer; the caller cannot know whether a write happened, and must re-read."""

    code = "store-unavailable"


class QueueFull(Unavailable):
    """As many tasks wait or run as the operator allows; nothing of the submission was taken, so it may be repeated."""

    code = "queue-full"
    bound = ""
    """`all`, `tenant` or `class`; only where it is raised."""
    retry_after_s = 0.0
    """What a client was asked to wait; 0 where nobody said."""


class SchedulerUnavailable(Unavailable):
    """No scheduler answered at the address in use."""

    code = "scheduler-unavailable"


class FleetEnding(Unavailable):
    """A fleet that nobody needed is on its way out and takes no clients; another can be started once it is gone."""

    code = "fleet-ending"


class CapabilityMissing(Unavailable):
    """An executor lacks what a task needs; the task goes elsewhere and spends no try."""

    code = "capability-missing"

    def __init__(self, capability: str, sentence: str = "") -> None:
        # As detail too: it is what the scheduler withholds from the executor for a while.
        super().__init__(sentence or f"This node cannot provide {capability!r} at present.", detail=capability)
        self.capability = capability


class TaskFailed(MediafleetError):
    """A handler could not do its task, and trying again would end the same way."""

    code = "task-failed"


class TransientFailure(TaskFailed):
    """A handler could not do its task this time; the next try may succeed."""

    code = "transient-failure"
    retryable = True


class OutputRejected(TaskFailed):
    """A result was made but did not pass verification; it is not published."""

    code = "output-rejected"
