"""Errors on their way through HTTP and the store: which status a class answers with, and the way back.

One table each, used by the doors, the client and the nodes.
"""

from __future__ import annotations

from mediafleet.domain.errors import (
    CapabilityMissing,
    Conflict,
    ErrorInfo,
    IllegalTransition,
    InputError,
    InvalidRequest,
    MediafleetError,
    NotFound,
    Outdated,
    QueueFull,
    Unauthorized,
    Unavailable,
)

STATUSES: dict[type[MediafleetError], int] = {
    InvalidRequest: 400,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    Outdated: 412,
    InputError: 422,
    QueueFull: 429,
    Unavailable: 503,
    MediafleetError: 500,
}
"""Error class → status; a class that is not named here answers like its nearest ancestor."""


def status_of(error: MediafleetError) -> int:
    """Return the HTTP status for an error."""
    return next(STATUSES[base] for base in type(error).__mro__ if base in STATUSES)


def _family(error_class: type[MediafleetError]) -> list[type[MediafleetError]]:
    return [error_class] + [member for child in error_class.__subclasses__() for member in _family(child)]


CLASSES: dict[str, type[MediafleetError]] = {member.code: member for member in _family(MediafleetError)}
"""Code → class."""

_NOT_CARRIED: dict[type[MediafleetError], dict[str, object]] = {
    IllegalTransition: {"subject": "", "state": "", "event": "", "history": ()},
    CapabilityMissing: {"capability": ""},
}
"""Attributes that only the sentence has after the way through an `ErrorInfo`."""


def error_from_info(info: ErrorInfo) -> MediafleetError:
    """Return the error that `info` was made of: same class, code, sentence and detail.

    A code that this version does not know becomes a plain `MediafleetError` that keeps code and `retryable`.
    """
    error_class = CLASSES.get(info.code, MediafleetError)
    # Not called: a class may build its sentence from arguments that are not carried.
    error = error_class.__new__(error_class)
    MediafleetError.__init__(error, info.message, detail=info.detail)
    for name, value in _NOT_CARRIED.get(error_class, {}).items():
        setattr(error, name, value)
    # On the instance, not on the class: the next error of the class must not carry it.
    if info.code not in CLASSES:
        error.code, error.retryable = info.code, info.retryable
    return error
