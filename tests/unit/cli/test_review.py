"""`review`: a document is fetched, corrected and put back; commands that wait say what they wait for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler
from tests_support.review_routes import DOCUMENT, ask

from mediafleet.cli._follow import JobWatch
from mediafleet.client import FleetClient
from mediafleet.domain.errors import Outdated
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.review import ReviewAnswer

MENDED = b'{"text":"the end"}'


@pytest.fixture
def job(cli: RunCli, scheduler: FakeScheduler) -> str:
    """A job that waits for a person."""
    scheduler.holding = True
    cli("submit", "noop")
    name = list(scheduler.jobs)[-1]
    ask(scheduler, name)
    return name


def test_a_document_is_fetched_into_a_file_and_put_back(
    cli: RunCli, scheduler: FakeScheduler, job: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.json"
    ran = cli("review", job, "--out", str(path))
    assert (ran.code, ran.out, path.read_bytes()) == (0, f"{path}\n", DOCUMENT)
    assert f"mediafleet review {job} --review read --put {path}" in ran.err
    path.write_bytes(MENDED)
    assert cli("review", job, "--put", str(path)).out == f"{job} processing\n"
    assert scheduler.blobs[job] == ("", MENDED)


def test_a_file_that_is_there_is_replaced_only_when_asked(cli: RunCli, job: str, tmp_path: Path) -> None:
    path = tmp_path / "text.json"
    path.write_bytes(MENDED)
    ran = cli("review", job, "--out", str(path))
    assert (ran.code, "exists already" in ran.err, path.read_bytes()) == (1, True, MENDED)
    assert cli("review", job, "--out", str(path), "--force").code == 0
    assert path.read_bytes() == DOCUMENT


def test_programs_get_the_document_and_the_job(cli: RunCli, job: str, tmp_path: Path) -> None:
    assert cli("review", job, "--json").json == {"text": "teh end"}
    path = tmp_path / "text.json"
    shown = cli("review", job, "--review", "second", "--out", str(path), "--json").json
    assert shown == {"review": "second", "output": str(path), "size": len(DOCUMENT), "tag": "read-1"}
    assert cli("review", job, "--put", str(path), "--json").json["status"] == "processing"


def test_what_cannot_be_done_is_told_in_a_sentence(cli: RunCli, job: str, tmp_path: Path) -> None:
    assert cli("review", job, "--out", "a", "--put", "b").code == 2
    assert cli("review", job, "--put", str(tmp_path / "none")).code == 1
    path = tmp_path / "broken.json"
    path.write_bytes(b"{")
    assert "is no JSON" in cli("review", job, "--put", str(path)).err
    path.write_bytes(MENDED)
    cli("review", job, "--put", str(path))
    assert "waits for no review" in cli("review", job).err


async def test_a_client_puts_back_only_what_corrects_the_document(scheduler: FakeScheduler, job: str) -> None:
    async with FleetClient(scheduler.url) as client:
        document = await client.review(job)
        assert (document.review, document.name, document.body) == ("read", "text.json", DOCUMENT)
        with pytest.raises(Outdated):
            await client.answer_review(job, ReviewAnswer(MENDED, tags=("old",)))
        view = await client.answer_review(job, ReviewAnswer(MENDED, document.review, (document.tag,)))
    assert (view.status, scheduler.blobs[job]) == (JobStatus.PROCESSING, ("read", MENDED))


async def test_who_follows_a_job_is_told_once_for_each_review(scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    notes: list[str] = []
    async with FleetClient(scheduler.url) as client:
        job = (await client.submit(Submission("noop", name="film"))).id
        watch = JobWatch(client, patience_s=5, note=notes.append)
        for reviews in (("read",), ("read", "second")):
            ask(scheduler, job, *reviews)
            view = await client.job(job)
            for _ in range(2):
                watch._tell_of_reviews(view)
    assert [note.partition(" --out")[0] for note in notes] == [
        f"{job} (film) waits for a person: fetch its document with `mediafleet review {job} --review {name}"
        for name in ("read", "second")
    ]
