"""Errors keep their class, code and sentence on their way through HTTP and the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain import errors
from mediafleet.domain.errors import ErrorInfo, MediafleetError
from mediafleet.domain.problems import CLASSES, error_from_info, status_of


@given(code=st.sampled_from(sorted(CLASSES)), message=st.text(), detail=st.text())
def test_every_class_comes_back_as_itself(code: str, message: str, detail: str) -> None:
    info = ErrorInfo(code, message, CLASSES[code].retryable, detail)
    error = error_from_info(info)
    assert type(error) is CLASSES[code]
    assert error.info() == info
    assert str(error) == message


@given(retryable=st.booleans())
def test_code_of_a_newer_version_is_kept(*, retryable: bool) -> None:
    info = ErrorInfo("from-the-future", "Something new went wrong.", retryable)
    error = error_from_info(info)
    assert type(error) is MediafleetError
    assert error.info() == info
    assert MediafleetError.code == "error"


def test_all_classes_have_codes_of_their_own() -> None:
    classes = [
        member for member in vars(errors).values() if isinstance(member, type) and issubclass(member, MediafleetError)
    ]
    assert len(classes) == len({member.code for member in classes}) == len(CLASSES)


def test_errors_with_special_attributes_can_be_asked_for_them() -> None:
    lost = error_from_info(errors.IllegalTransition("job 1", "DONE", "cancel", ("NEW",)).info())
    assert isinstance(lost, errors.IllegalTransition)
    assert (lost.state, lost.history) == ("", ())
    missing = error_from_info(errors.CapabilityMissing("hw:cuda").info())
    assert isinstance(missing, errors.CapabilityMissing)
    assert missing.capability == ""
    assert "hw:cuda" in missing.message


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid-request", 400),
        ("unauthorized", 401),
        ("not-found", 404),
        ("conflict", 409),
        ("illegal-transition", 409),
        ("upload-mismatch", 409),
        ("input-error", 422),
        ("unknown-kind", 422),
        ("invalid-params", 422),
        ("unreadable-media", 422),
        ("store-unavailable", 503),
        ("unavailable", 503),
        ("task-failed", 500),
        ("from-the-future", 500),
    ],
)
def test_status_is_the_one_that_the_reference_promises(code: str, status: int) -> None:
    assert status_of(error_from_info(ErrorInfo(code, "A sentence."))) == status
