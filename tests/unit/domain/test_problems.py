"""Which HTTP status an error answers with."""

from __future__ import annotations

from mediafleet.domain.errors import (
    CapabilityMissing,
    ConfigError,
    IllegalTransition,
    InputError,
    InvalidParams,
    InvalidRequest,
    NotFound,
    OutputRejected,
    StoreUnavailable,
    Unauthorized,
    UnknownKind,
    UnreadableMedia,
    UploadMismatch,
)
from mediafleet.domain.problems import status_of


def test_each_error_class_has_the_status_that_the_reference_gives() -> None:
    assert [status_of(kind("x")) for kind in (InvalidRequest, Unauthorized, NotFound)] == [400, 401, 404]
    assert [status_of(kind("x")) for kind in (InputError, UnknownKind, InvalidParams, UnreadableMedia)] == [422] * 4
    assert [status_of(error) for error in (UploadMismatch("x"), IllegalTransition("a", "b", "c"))] == [409, 409]
    assert [status_of(error) for error in (StoreUnavailable("x"), CapabilityMissing("x"))] == [503, 503]
    assert [status_of(error) for error in (ConfigError("x"), OutputRejected("x"))] == [500, 500]
