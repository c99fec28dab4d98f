"""A job is handed in with its files in place where the fleet can see them, else they are uploaded first."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.artifacts.fingerprint import parse_input_uri
from mediafleet.cli._follow import OwnJobs
from mediafleet.cli._hand_in import hand_in
from mediafleet.client import FleetClient
from mediafleet.domain.errors import InputError, InvalidParams, InvalidRequest, MediafleetError, NotFound, UnknownKind
from mediafleet.domain.job import JobView, Submission

DRAFT = Submission("join", name="draft")


class Desk:
    """Hands jobs in and keeps what was told of uploads."""

    def __init__(self, own: OwnJobs) -> None:
        self.own = own
        self.shares: list[float] = []

    async def take(self, *inputs: str | Path, draft: Submission = DRAFT) -> JobView:
        return await hand_in(self.own, draft, inputs, on_upload=self.shares.append)


@pytest.fixture
async def desk(scheduler: FakeScheduler) -> AsyncGenerator[Desk]:
    async with FleetClient(scheduler.url) as client:
        yield Desk(OwnJobs(client))


@pytest.fixture
def clip(workplace: Path) -> Path:
    path = workplace / "a.mkv"
    path.write_bytes(b"media")
    return path


async def test_a_job_without_inputs_goes_as_it_is(desk: Desk, scheduler: FakeScheduler) -> None:
    await desk.take()
    assert scheduler.submissions[0].input is None


async def test_one_input_is_a_word_and_several_are_a_list(desk: Desk, scheduler: FakeScheduler) -> None:
    await desk.take("artifact:a0-x")
    await desk.take("artifact:a0-x", "s3://b/k")
    assert [one.input for one in scheduler.submissions] == ["artifact:a0-x", ["artifact:a0-x", "s3://b/k"]]


async def test_a_file_in_place_carries_the_proof_of_what_it_holds(
    desk: Desk, scheduler: FakeScheduler, clip: Path
) -> None:
    await desk.take(clip)
    path, proof = parse_input_uri(scheduler.submissions[0].input_uris[0])
    assert path == clip
    assert proof
    assert proof.size == len(b"media")
    assert not desk.shares


async def test_a_relative_path_means_the_same_file_elsewhere(desk: Desk, scheduler: FakeScheduler, clip: Path) -> None:
    await desk.take(Path(clip.name))
    assert parse_input_uri(scheduler.submissions[0].input_uris[0])[0] == clip


async def test_a_link_is_named_as_it_is_and_only_dots_are_resolved(
    desk: Desk, scheduler: FakeScheduler, clip: Path
) -> None:
    (clip.parent / "share").symlink_to(clip.parent)
    await desk.take(Path("share/a.mkv"))
    await desk.take(Path("share/../place/a.mkv"))
    named = [parse_input_uri(one.input_uris[0])[0] for one in scheduler.submissions]
    assert named[0] == clip.parent / "share" / "a.mkv"
    assert named[1] == clip


async def test_files_are_uploaded_where_the_fleet_cannot_see_them_and_keep_their_order(
    desk: Desk, scheduler: FakeScheduler, clip: Path
) -> None:
    scheduler.sees_files = False
    other = clip.with_name("b.mkv")
    other.write_bytes(b"other")
    view = await desk.take(clip, "artifact:a0-x", other)
    first, passed, second = scheduler.submissions[0].input_uris
    assert passed == "artifact:a0-x"
    sent = [scheduler.blobs[uri.removeprefix("artifact:")] for uri in (first, second)]
    assert sent == [("a.mkv", b"media"), ("b.mkv", b"other")]
    assert (desk.shares[0], desk.shares[-1]) == (0.0, 1.0)
    assert desk.shares == sorted(desk.shares)
    assert view.id in scheduler.jobs


async def test_an_upload_that_breaks_goes_on_and_its_share_never_falls(
    desk: Desk, scheduler: FakeScheduler, workplace: Path
) -> None:
    scheduler.sees_files = False
    scheduler.cut_uploads = [1_500_000, 100_000]
    path = workplace / "long.mkv"
    path.write_bytes(os.urandom(4_000_000))
    await desk.take(path)
    assert ("long.mkv", path.read_bytes()) in scheduler.blobs.values()
    assert desk.shares == sorted(desk.shares)
    assert scheduler.received < 4_000_000 + 2 * 1_500_000


async def test_an_empty_file_is_uploaded_too(desk: Desk, scheduler: FakeScheduler, workplace: Path) -> None:
    scheduler.sees_files = False
    (workplace / "empty.mkv").touch()
    await desk.take(workplace / "empty.mkv")
    assert ("empty.mkv", b"") in scheduler.blobs.values()
    assert all(0 <= share <= 1 for share in desk.shares)


@pytest.mark.parametrize("error", [UnknownKind("No."), InvalidParams("No."), InvalidRequest("No."), NotFound("No.")])
async def test_what_an_upload_would_not_cure_is_told_at_once(
    desk: Desk, scheduler: FakeScheduler, clip: Path, error: MediafleetError
) -> None:
    scheduler.refusals["draft"] = error
    with pytest.raises(type(error)):
        await desk.take(clip)
    assert scheduler.requests == ["POST /api/v1/jobs"]


async def test_addresses_that_the_fleet_cannot_read_are_not_uploaded(desk: Desk, scheduler: FakeScheduler) -> None:
    scheduler.sees_files = False
    with pytest.raises(InputError, match="cannot see"):
        await desk.take("file:///m/a.mkv")
    assert scheduler.requests == ["POST /api/v1/jobs"]


async def test_a_file_that_is_missing_is_told_before_anything_is_asked(desk: Desk, scheduler: FakeScheduler) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        await desk.take(Path("missing.mkv"))
    assert not scheduler.requests


async def test_the_job_is_remembered_for_an_interruption(desk: Desk, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    view = await desk.take()
    assert desk.own.open == {view.id}
