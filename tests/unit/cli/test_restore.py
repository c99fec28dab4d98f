"""`mediafleet transcode --replace` and `mediafleet restore`, as a user sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.artifacts.fingerprint import uri_of_path
from mediafleet.domain.errors import ErrorInfo


def film(name: str = "film.mkv") -> Path:
    path = Path(name).absolute()
    path.write_bytes(b"media")
    return path


def replaced(path: Path) -> dict[str, Any]:
    kept = path.parent / ".mediafleet-trash" / "j0-x" / "film.mkv"
    return {"replaced": {"path": uri_of_path(path), "kept": uri_of_path(kept), "until_ms": 1}}


def test_a_result_that_took_its_sources_place_is_named_and_nothing_is_fetched(
    cli: RunCli, scheduler: FakeScheduler
) -> None:
    path = film()
    scheduler.results["film.mkv"] = replaced(path.with_suffix(".mp4"))
    ran = cli("transcode", "film.mkv", "--replace", "--trash-days", "7", "--json")
    assert ran.code == 0
    [submission] = scheduler.submissions
    assert submission.params["replace"] == {"days": 7}
    [entry] = ran.json
    assert entry["output"] == str(path.with_suffix(".mp4"))
    assert [one.name for one in Path.cwd().iterdir()] == ["film.mkv"]


def test_a_source_that_stays_is_told_as_kept(cli: RunCli, scheduler: FakeScheduler) -> None:
    film()
    scheduler.results["film.mkv"] = {"size": 1}
    scheduler.warnings = ("The result is not smaller. The original stays.",)
    ran = cli("transcode", "film.mkv", "--replace")
    assert ran.code == 0
    assert "film.mkv → kept as it is" in ran.out
    assert "The original stays." in ran.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--replace", "--out", "done"], "leave --out out"),
        (["--replace", "--force"], "leave --force out"),
        (["--trash-days", "3"], "needs --replace"),
        (["--replace", "--trash-days", "-1"], "do not fit"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    cli: RunCli, scheduler: FakeScheduler, words: list[str], sentence: str
) -> None:
    film()
    ran = cli("transcode", "film.mkv", *words)
    assert (ran.code, scheduler.submissions) == (2, [])
    assert sentence in ran.err


def test_a_link_is_not_handed_in_to_be_replaced(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("link.mkv").symlink_to(film())
    ran = cli("transcode", "link.mkv", "--replace")
    assert (ran.code, scheduler.submissions) == (1, [])
    assert "is a link" in ran.out + ran.err


def test_a_name_that_is_taken_is_found_before_any_work(cli: RunCli, scheduler: FakeScheduler) -> None:
    film()
    film("film.mp4")
    ran = cli("transcode", "film.mkv", "--replace")
    assert (ran.code, scheduler.submissions) == (1, [])
    assert "film.mp4 exists already" in ran.out + ran.err


def test_a_file_that_the_fleet_cannot_see_is_not_uploaded_to_be_replaced(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.sees_files = False
    film()
    ran = cli("transcode", "film.mkv", "--replace")
    assert ran.code == 1
    assert "Only a file that the fleet uses in place can be replaced" in ran.out + ran.err
    assert not any(request.startswith("PUT") for request in scheduler.requests)


def test_restore_hands_in_a_job_on_the_kept_file_and_names_where_it_is(cli: RunCli, scheduler: FakeScheduler) -> None:
    path = film()
    scheduler.results |= {"film.mkv": replaced(path), "restore film.mkv": {"restored": uri_of_path(path)}}
    cli("transcode", "film.mkv", "--preset", "av1", "--replace")
    [job] = scheduler.jobs
    ran = cli("restore", job, "--json")
    assert ran.code == 0
    assert ran.json[0]["path"] == str(path)
    submission = scheduler.submissions[-1]
    assert submission.params == {"restore": job}
    assert submission.input_uris[0].endswith("/.mediafleet-trash/j0-x/film.mkv")


def test_restore_says_what_it_left(cli: RunCli, scheduler: FakeScheduler) -> None:
    path = film()
    scheduler.results |= {"film.mkv": replaced(path), "restore film.mkv": {"restored": uri_of_path(path)}}
    cli("transcode", "film.mkv", "--preset", "av1", "--replace")
    scheduler.warnings = ("'film.mp4' was left beside the original.",)
    [job] = scheduler.jobs
    ran = cli("restore", job)
    assert (ran.code, ran.err.count("was left beside the original")) == (0, 1)


def test_restore_says_of_each_job_why_it_could_not(cli: RunCli, scheduler: FakeScheduler) -> None:
    path = film()
    scheduler.results["film.mkv"] = replaced(path)
    scheduler.outcomes["restore film.mkv"] = ErrorInfo("conflict", "film.mkv is another file by now.")
    cli("transcode", "film.mkv", "--preset", "av1", "--replace")
    cli("submit", "noop")
    one, other = scheduler.jobs
    ran = cli("restore", one, other, "j0-none")
    assert ran.code == 1
    assert "film.mkv is another file by now." in ran.err
    assert "has replaced no original" in ran.err
    assert "There is no job 'j0-none'" in ran.err


def test_an_original_that_is_not_kept_any_more_is_told_as_that(cli: RunCli, scheduler: FakeScheduler) -> None:
    path = film()
    scheduler.results["film.mkv"] = replaced(path)
    cli("transcode", "film.mkv", "--preset", "av1", "--replace")
    [job] = scheduler.jobs
    scheduler.sees_files = False
    ran = cli("restore", job)
    assert ran.code == 1
    assert "it was brought back, or its time is over" in ran.err


def test_restore_needs_a_job(cli: RunCli) -> None:
    ran = cli("restore")
    assert ran.code == 2
    assert "Name at least one job" in ran.err
