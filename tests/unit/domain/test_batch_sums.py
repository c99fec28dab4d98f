"""Batches: what each file has of its own, and how far all of them are."""

from __future__ import annotations

import msgspec
import pytest

from mediafleet.domain.batch import BatchFile, BatchRequest, JobPace, check_batch, merge_params, spread, sum_up
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

S = JobStatus


def test_each_file_has_what_the_batch_says_and_its_own_on_top() -> None:
    own = BatchFile("file:///b", {"crf": 30, "video": {"tune": None}}, "b", PriorityClass.LIVE, 3, "k")
    params = {"preset": "av1", "video": {"tune": "film", "keyint": 48}}
    request = BatchRequest("transcode", ["file:///a", own], params=params, tenant="ann", urgency=1)
    first, second = spread(request, name="holiday")
    assert (first.input, first.params, first.urgency, first.batch) == ("file:///a", params, 1, "holiday")
    assert second.params == {"preset": "av1", "crf": 30, "video": {"keyint": 48}}
    assert (second.priority, second.urgency, second.idempotency_key, second.tenant) == ("live", 3, "k", "ann")
    assert params["video"] == {"tune": "film", "keyint": 48}, "what was given is not changed"


def test_a_plain_value_replaces_an_object_and_the_other_way_round() -> None:
    assert merge_params({"scale": {"height": 720}}, {"scale": 0.5}) == {"scale": 0.5}
    assert merge_params({"scale": 0.5}, {"scale": {"height": 720}}) == {"scale": {"height": 720}}
    assert merge_params({"crf": 20}, {"none": None}) == {"crf": 20}


@pytest.mark.parametrize("name", ["a b", "a" * 65, "ä", "../x"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no batch"):
        check_batch(name)


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind": "noop", "files": [{"input": "a", "parms": {}}]}', type=BatchRequest)


def test_progress_is_the_mean_and_what_has_ended_counts_whole() -> None:
    paces = [JobPace(S.COMPLETED, 1.0, 0, 5), JobPace(S.FAILED, 0.2, 0, 6), JobPace(S.PROCESSING, 0.5, 0, None)]
    view = sum_up("b", [*paces, JobPace(S.PENDING, 0.0, None, None)], now_ms=10_000)
    assert (view.progress, view.total, view.finished_ms) == (0.625, 4, None)
    assert view.statuses == {S.COMPLETED: 1, S.FAILED: 1, S.PROCESSING: 1, S.PENDING: 1}


def test_what_is_left_goes_by_how_fast_it_went() -> None:
    paces = [JobPace(S.COMPLETED, 1.0, 1_000, 5_000), JobPace(S.PROCESSING, 0.5, 2_000, None)]
    # The first took 4 s and the second will take 10; so 5 and a mean of 7 are left, for one and a half at once.
    assert sum_up("b", [*paces, JobPace(S.PENDING, 0.0, None, None)], now_ms=7_000).eta_ms == 8_000


def test_a_long_job_behind_short_ones_goes_by_its_own_pace() -> None:
    short = [JobPace(S.COMPLETED, 1.0, 1_000 * i, 1_000 * (i + 1)) for i in range(3)]
    assert sum_up("b", [*short, JobPace(S.PROCESSING, 0.1, 3_000, None)], now_ms=13_000).eta_ms == 90_000
    # Nobody knows yet that it is long.
    assert sum_up("b", [*short, JobPace(S.PROCESSING, 0.0, 3_000, None)], now_ms=13_000).eta_ms is None


@pytest.mark.parametrize(
    "paces",
    [
        [JobPace(S.PENDING, 0.0, None, None)],
        [JobPace(S.PROCESSING, 0.0, 1_000, None)],
        [JobPace(S.COMPLETED, 1.0, 1_000, 2_000)],
        [JobPace(S.COMPLETED, 1.0, 1_000, 2_000), JobPace(S.PAUSED, 0.5, 1_000, None)],
        [JobPace(S.CANCELLED, 0.0, None, 2_000), JobPace(S.PENDING, 0.0, None, None)],
    ],
    ids=["nothing began", "nothing was measured", "all have ended", "the rest is paused", "only cancelled ones"],
)
def test_where_nothing_was_measured_nothing_is_said(paces: list[JobPace]) -> None:
    assert sum_up("b", paces, now_ms=10_000).eta_ms is None


def test_a_batch_has_ended_with_its_last_job() -> None:
    paces = [JobPace(S.COMPLETED, 1.0, 1_000, 5_000), JobPace(S.CANCELLED, 0.1, 2_000, 9_000)]
    view = sum_up("b", paces, now_ms=10_000)
    assert (view.progress, view.started_ms, view.finished_ms) == (1.0, 1_000, 9_000)
