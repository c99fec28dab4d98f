"""Every error becomes a document with a sentence, and the header fields that its status asks for."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    TooManyRequestsException,
    ValidationException,
)

from mediafleet.domain.errors import MediafleetError, NotFound, QueueFull, StoreUnavailable, Unauthorized, UnknownKind
from mediafleet.domain.problems import CLASSES, status_of
from mediafleet.doors.http.problems import (
    LONGEST_ECHO,
    PROBLEM_TYPE,
    answer_framework,
    answer_not_text,
    answer_own,
    answer_too_deep,
    answer_unforeseen,
    encode_problem,
    headers_of,
    make_problem,
    problem_of,
)


def asked(method: str = "GET", path: str = "/x") -> Request[Any, Any, Any]:
    """Return a request as the framework hands it to a handler."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [],
        "query_string": b"",
        "server": ("h", 80),
    }
    return Request(cast("Any", scope | {"scheme": "http", "root_path": "", "state": {}}))


def explained(error: HTTPException, request: Request[Any, Any, Any] | None = None) -> dict[str, Any]:
    answer = answer_framework(request or asked(), error)
    problem = json.loads(answer.content)
    assert (answer.media_type, answer.status_code) == (PROBLEM_TYPE, problem["status"])
    return problem


@given(st.sampled_from(sorted(CLASSES)), st.text(max_size=100))
def test_an_error_of_ours_keeps_its_code_sentence_and_status(code: str, sentence: str) -> None:
    error = CLASSES[code].__new__(CLASSES[code])
    MediafleetError.__init__(error, sentence)
    problem = problem_of(error)
    assert (problem.code, problem.type) == (code, f"urn:mediafleet:error:{code}")
    assert (problem.detail, problem.status, problem.retryable) == (sentence, status_of(error), error.retryable)


def test_a_title_is_the_code_in_words() -> None:
    assert make_problem("not-found", 404, "Nothing.").title == "Not found"


def test_a_document_says_retryable_only_where_a_retry_helps() -> None:
    assert json.loads(encode_problem(problem_of(StoreUnavailable("Away."))))["retryable"] is True
    assert "retryable" not in json.loads(encode_problem(problem_of(NotFound("None."))))


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (StoreUnavailable("Away."), "Retry-After", "2"),
        (QueueFull("Full."), "Retry-After", "5"),
        (Unauthorized("Who?"), "WWW-Authenticate", 'Bearer realm="mediafleet"'),
    ],
)
def test_a_status_that_asks_for_a_header_field_has_it(error: MediafleetError, name: str, value: str) -> None:
    assert headers_of(problem_of(error)) == {name: value}
    assert answer_own(asked(), error).headers[name] == value


def test_other_errors_have_no_further_header_fields() -> None:
    assert headers_of(problem_of(UnknownKind("No."))) == {}


def test_an_unknown_route_names_itself_shortly() -> None:
    problem = explained(NotFoundException(), asked(path="/" + "a" * 9_000))
    assert problem["code"] == "not-found"
    assert "/schema" in problem["detail"]
    assert len(problem["detail"]) < LONGEST_ECHO + 100


def test_a_wrong_method_is_named_and_the_right_ones_are_in_the_header() -> None:
    error = MethodNotAllowedException(headers={"Allow": "GET, HEAD"})
    assert answer_framework(asked("PATCH"), error).headers["Allow"] == "GET, HEAD"
    assert explained(error, asked("PATCH"))["detail"].startswith("PATCH is not possible here")


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (ClientException("x", status_code=413), 413, "too-large", "go to /api/v1/artifacts"),
        (HTTPException("Send JSON.", status_code=415), 415, "unsupported-media-type", "Send JSON."),
        (TooManyRequestsException(), 429, "too-many-requests", "Too Many Requests."),
        (InternalServerException("secret"), 500, "internal-server-error", "Internal Server Error."),
        (ClientException("'data'"), 400, "invalid-request", "The request has no body"),
        (ClientException("it is odd."), 400, "invalid-request", "not well formed: it is odd."),
    ],
)
def test_what_the_framework_refuses_is_a_sentence(error: HTTPException, status: int, code: str, words: str) -> None:
    problem = explained(error)
    assert (problem["status"], problem["code"]) == (status, code)
    assert words in problem["detail"]


def test_what_is_wrong_with_each_field_is_named() -> None:
    extra = [{"key": "limit", "message": "Expected `int`"}, {"key": "data", "message": "no `kind`"}, {"message": "odd"}]
    problem = explained(ValidationException("Validation failed", extra=cast("Any", extra)))
    assert problem["detail"] == "The request is not well formed: limit: Expected `int`; no `kind`; odd."


def test_a_long_complaint_is_cut() -> None:
    problem = explained(ValidationException("x", extra=cast("Any", [{"message": "long " * 1_000}])))
    assert len(problem["detail"]) < LONGEST_ECHO + 50
    assert problem["detail"].endswith(".")


def test_bodies_that_the_decoder_gives_up_on_are_the_clients_fault() -> None:
    deep = answer_too_deep(asked(), RecursionError())
    raw = answer_not_text(asked(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"))
    for answer, words in ((deep, "nested too deeply"), (raw, "not UTF-8")):
        assert (answer.status_code, json.loads(answer.content)["code"]) == (400, "invalid-request")
        assert words in json.loads(answer.content)["detail"]


def test_an_unforeseen_fault_is_logged_with_its_place_and_a_reference(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError) as caught:
        raise LookupError("secret " * 100)
    problem: dict[str, Any] = json.loads(answer_unforeseen(asked("POST", "/p"), caught.value).content)
    logged = "".join(capfd.readouterr())
    assert problem["detail"].rstrip(".").split()[-1] in logged
    assert "test_problem_documents.py:" in logged
    assert "method=POST path=/p" in logged
    assert "secret" not in problem["detail"]
    assert len(logged) < 600


def test_each_fault_has_a_reference_of_its_own() -> None:
    answers = {json.loads(answer_unforeseen(asked(), ValueError()).content)["detail"] for _ in range(20)}
    assert len(answers) == 20
