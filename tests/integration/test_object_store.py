"""Artifacts in a real S3 server: past the scheduler where that is possible, and over wrong keys, old addresses, restarts."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import obstore
import pytest
from tests_support.fleet_process import running_fleet
from tests_support.redis_server import RedisServer
from tests_support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, s3_server
from yarl import URL

from mediafleet.app.serving import serving
from mediafleet.artifacts import sending
from mediafleet.artifacts.buckets import Bucket, BucketAccess
from mediafleet.artifacts.cache import ArtifactCache
from mediafleet.artifacts.origins import AddressOrigin, SchedulerOrigin, range_header
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.client import FleetClient
from mediafleet.domain.artifact import ArtifactRef, Location
from mediafleet.domain.errors import ConfigError, InputError, NotFound, Unavailable
from mediafleet.domain.job import Submission
from mediafleet.node.context import Persistence
from mediafleet.ops.settings import ArtifactSettings, ServerSettings, Settings, StoreSettings
from mediafleet.testing import make_clip

pytestmark = pytest.mark.timeout(180)

MEGABYTE = 1_000_000
_prefixes = itertools.count()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of this module; who kills it starts it again."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """All that is in the bucket, with the right key."""
    return Bucket(f"s3://{BUCKET}", access(s3))


def access(s3: S3Server, **changes: str) -> BucketAccess:
    return replace(BucketAccess(s3.url, "us-east-1", ACCESS_KEY, SECRET_KEY), **changes)


def settings_of(folder: Path, redis: RedisServer, artifacts: ArtifactSettings) -> Settings:
    store = StoreSettings(redis_url=redis.url, prefix=f"s3-{os.getpid()}-{next(_prefixes)}")
    return Settings(data=folder / "fleet", store=store, server=ServerSettings(port=0), artifacts=artifacts)


def artifact_settings(s3: S3Server, **changes: Any) -> ArtifactSettings:
    root = f"s3://{BUCKET}/root-{next(_prefixes)}"
    given = ArtifactSettings(
        root=root, endpoint=s3.url, region="us-east-1", access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )
    return replace(given, **changes)


class Machines:
    """A scheduler whose artifacts are in S3, a node's way to them, and a user's."""

    def __init__(self, url: str, folder: Path, session: aiohttp.ClientSession, user: FleetClient) -> None:
        self.url = url
        self.folder = folder
        self.user = user
        cache = ArtifactCache(folder / "cache", 1 << 30, least_free_share=0)
        self.node = ArtifactClient(session, url, cache=cache, direct=True)

    async def insist(self, step: Any) -> Any:
        """Do as a node does."""
        return await Persistence(0.1, 0.5).insist(step)

    async def publish(self, content: bytes) -> ArtifactRef:
        """Publish as a node does, without a job."""
        path = self.folder / f"out-{next(_prefixes)}"
        path.write_bytes(content)
        return await self.insist(lambda: self.node.upload(path, name="out.mkv"))


@asynccontextmanager
async def machines_on(settings: Settings, folder: Path) -> AsyncGenerator[Machines]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(settings))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        user = await stack.enter_async_context(FleetClient(running.url))
        yield Machines(running.url, folder, session, user)


@pytest.fixture
async def machines(tmp_path: Path, redis_server: RedisServer, s3: S3Server) -> AsyncGenerator[Machines]:
    async with machines_on(settings_of(tmp_path, redis_server, artifact_settings(s3)), tmp_path) as machines:
        yield machines


@pytest.fixture
def nothing_through_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every byte that would go through a scheduler fail."""

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("bytes went through the scheduler")

    monkeypatch.setattr(SchedulerOrigin, "open", refuse)
    monkeypatch.setattr(sending.Sender, "_send_rest", refuse)


def random_bytes(count: int) -> bytes:
    return random.randbytes(count)  # noqa: S311 - fast, and nothing secret


# --- the ways of bytes -----------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_through_the_scheduler")
async def test_what_a_node_publishes_and_fetches_goes_past_the_scheduler(machines: Machines, bucket: Bucket) -> None:
    content = random_bytes(9 * MEGABYTE)
    ref = await machines.publish(content)
    assert ref.sha256 == hashlib.sha256(content).hexdigest()
    assert ref.uri.startswith(f"s3://{BUCKET}/root-")
    assert await bucket.size(ref.uri.removeprefix(f"s3://{BUCKET}/")) == len(content)
    path = await machines.node.resolve(ref, machines.folder / "w")
    assert path.read_bytes() == content


@pytest.mark.usefixtures("nothing_through_the_scheduler")
async def test_a_node_fetches_only_the_bytes_it_needs(machines: Machines) -> None:
    content = random_bytes(5 * MEGABYTE)
    ref = await machines.publish(content)
    told: list[tuple[int, int]] = []
    wanted = [(4 * MEGABYTE, 4 * MEGABYTE + 100), (0, 50)]
    path = await machines.node.resolve(
        ref, machines.folder / "w", ranges=wanted, on_progress=lambda moved, whole: told.append((moved, whole))
    )
    found = path.read_bytes()
    assert [found[start:end] for start, end in wanted] == [content[start:end] for start, end in wanted]
    assert (len(found), told[-1]) == (len(content), (150, 150))


async def test_a_user_uploads_and_downloads_through_the_scheduler_and_staging_is_left_empty(machines: Machines) -> None:
    content = random_bytes(3 * MEGABYTE)
    source, target = machines.folder / "in.mkv", machines.folder / "back.mkv"
    source.write_bytes(content)
    ref = await machines.user.artifacts.upload(source, name="in.mkv")
    await machines.user.artifacts.download(ref, target)
    assert target.read_bytes() == content
    assert list((machines.folder / "fleet" / "staging").iterdir()) == []
    assert not (machines.folder / "fleet" / "artifacts").exists()


async def test_where_the_object_store_cannot_be_reached_the_scheduler_brings_the_bytes(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random_bytes(MEGABYTE)

    def lead_nowhere(self: Bucket, key: str, method: str) -> Any:
        async def locate() -> Location:
            return Location(method, "http://127.0.0.1:1/nowhere", 900)

        return locate()

    monkeypatch.setattr(Bucket, "locate", lead_nowhere)
    monkeypatch.setattr("mediafleet.artifacts.exchange.LONGEST_WAIT_S", 0.01)
    ref = await machines.publish(content)
    assert (await machines.node.resolve(ref, machines.folder / "w")).read_bytes() == content


async def test_an_upload_that_is_given_up_leaves_no_object(machines: Machines, bucket: Bucket) -> None:
    ref = await machines.publish(b"bytes")
    key = ref.uri.removeprefix(f"s3://{BUCKET}/")
    async with aiohttp.ClientSession() as session:
        async with session.delete(f"{machines.url}/api/v1/artifacts/{ref.id}") as answer:
            assert answer.status == 204
        async with session.get(f"{machines.url}/api/v1/artifacts/{ref.id}/location") as answer:
            assert answer.status == 404
    with pytest.raises(NotFound):
        await bucket.size(key)


async def test_the_word_that_bytes_are_there_is_checked(machines: Machines) -> None:
    async with aiohttp.ClientSession() as session:
        base = f"{machines.url}/api/v1/artifacts"
        async with session.post(base, json={"name": "a", "size": 10}) as answer:
            opened = await answer.json()
        assert opened["direct"]
        digest = hashlib.sha256(b"").hexdigest()
        async with session.post(f"{base}/{opened['id']}/complete", json={"sha256": digest}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (409, "upload-mismatch")
        async with session.post(f"{base}/{opened['id']}/complete", json={"sha256": "no"}) as answer:
            assert answer.status == 400


# --- faults ----------------------------------------------------------------------------------------


async def test_an_address_that_expired_is_asked_for_anew_and_the_transfer_goes_on(
    tmp_path: Path, redis_server: RedisServer, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.artifacts.buckets.LIFE_S", 1)
    monkeypatch.setattr("mediafleet.artifacts.cache.PIECE_BYTES", MEGABYTE)
    content = random_bytes(3 * MEGABYTE)
    given: list[str] = []
    refused: list[str] = []
    async with machines_on(settings_of(tmp_path, redis_server, artifact_settings(s3)), tmp_path) as machines:
        ref = await machines.publish(content)
        original = machines.node._exchange.locate

        async def locate(artifact: str) -> Location:
            found = await original(artifact)
            given.append(found.url)
            return found

        monkeypatch.setattr(machines.node._exchange, "locate", locate)
        open_range = AddressOrigin.open

        def open_late(self: AddressOrigin, start: int, end: int) -> Any:
            return _late(open_range(self, start, end), self, start, refused)

        monkeypatch.setattr(AddressOrigin, "open", open_late)
        monkeypatch.setattr(SchedulerOrigin, "open", None)
        path = await machines.node.resolve(ref, tmp_path / "w")
    assert path.read_bytes() == content
    assert refused == given[:1], "the second piece found the address of the first one expired"
    assert len(given) == 2


@asynccontextmanager
async def _late(opening: Any, origin: AddressOrigin, start: int, refused: list[str]) -> AsyncGenerator[Any]:
    """Let the second piece wait until the address of the first one is not good any more."""
    if start == MEGABYTE and origin._location:
        await until_refused(origin._location.url)
        refused.append(origin._location.url)
    async with opening as response:
        yield response


async def until_refused(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(URL(url, encoded=True)) as answer:
                if answer.status == 403:
                    return
            await asyncio.sleep(0.1)


async def test_a_server_that_restarts_in_the_middle_costs_no_byte_twice_and_no_try(
    machines: Machines, s3: S3Server
) -> None:
    content = random_bytes(40 * MEGABYTE)
    ref = await machines.publish(content)
    restarted: list[asyncio.Task[None]] = []
    moved: list[int] = []

    def cut(fetched: int, wanted: int) -> None:
        moved.append(fetched)
        if not restarted and wanted / 4 < fetched < wanted:
            s3.kill()
            restarted.append(asyncio.create_task(asyncio.to_thread(s3.start)))

    path = await machines.insist(lambda: machines.node.resolve(ref, machines.folder / "w", on_progress=cut))
    await restarted[0]
    assert path.read_bytes() == content
    at = next(number for number, (before, after) in enumerate(itertools.pairwise([*moved, 0])) if after < before)
    # Where the call was repeated, it told only of what was still missing.
    assert sum([moved[at], moved[-1]] if at + 1 < len(moved) else [moved[-1]]) == len(content)


async def test_a_server_that_restarts_in_the_middle_of_an_upload_has_all_of_it_in_the_end(
    machines: Machines, s3: S3Server, tmp_path: Path
) -> None:
    content = random_bytes(40 * MEGABYTE)
    source = tmp_path / "out.mkv"
    source.write_bytes(content)
    restarted: list[asyncio.Task[None]] = []

    def cut(sent: int) -> None:
        if not restarted and sent > 10 * MEGABYTE:
            s3.kill()
            restarted.append(asyncio.create_task(asyncio.to_thread(s3.start)))

    ref = await machines.insist(lambda: machines.node.upload(source, name="out.mkv", on_progress=cut))
    await restarted[0]
    assert (await machines.node.resolve(ref, tmp_path / "w")).read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret_key": "wrong"}, "the secret key is wrong"),
        ({"access_key": "nobody"}, "the access key is not known there"),
        ({"endpoint": "http://127.0.0.1:1"}, "does not answer as it should; look at artifacts.endpoint"),
    ],
    ids=["wrong secret", "unknown key", "nobody there"],
)
async def test_a_wrong_key_is_said_in_a_sentence_before_anything_starts(
    tmp_path: Path, redis_server: RedisServer, s3: S3Server, changes: dict[str, str], sentence: str
) -> None:
    given = artifact_settings(s3, **changes)
    with pytest.raises(Unavailable, match=sentence):
        await Bucket(given.root, access(s3, **changes)).probe("probe")
    with pytest.raises(Unavailable, match=sentence):
        async with serving(settings_of(tmp_path, redis_server, given)):
            pytest.fail("it started")


async def test_instances_share_a_root_in_s3_and_one_with_another_is_refused(
    tmp_path: Path, redis_server: RedisServer, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.scheduler.shared_root.PATIENCE_MS", -60_000)
    one = settings_of(tmp_path, redis_server, artifact_settings(s3))
    two = replace(one, data=tmp_path / "two")
    other = replace(one, data=tmp_path / "three", artifacts=artifact_settings(s3))
    async with machines_on(one, tmp_path) as first, machines_on(two, tmp_path / "w2") as second:
        ref = await first.publish(b"seen by both")
        await second.user.artifacts.download(ref, tmp_path / "back")
        with pytest.raises(ConfigError, match="keeps its artifacts elsewhere"):
            async with serving(other):
                pytest.fail("it started")
    assert (tmp_path / "back").read_bytes() == b"seen by both"


# --- inputs ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_through_the_scheduler")
async def test_an_object_is_an_input_and_one_that_changed_is_none(machines: Machines, bucket: Bucket) -> None:
    content = random_bytes(MEGABYTE)
    await bucket.put("media/a film.mkv", content)
    view = await submit(machines, f"s3://{BUCKET}/media/a film.mkv")
    (ref,) = view.inputs
    assert (ref.name, ref.size) == ("a film.mkv", MEGABYTE)
    assert (await machines.node.resolve(ref, machines.folder / "w")).read_bytes() == content
    await bucket.put("media/a film.mkv", content[::-1])
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        await machines.node._exchange.locate(ref.id)


async def test_no_copy_is_made_of_two_versions_of_an_object(machines: Machines, bucket: Bucket) -> None:
    """Its ends and its middle stay as they were, by which files are known that have no versions."""
    content = random_bytes(MEGABYTE)
    await bucket.put("media/growing.mkv", content)
    (ref,) = (await submit(machines, f"s3://{BUCKET}/media/growing.mkv")).inputs
    location = await machines.node._exchange.locate(ref.id)
    await bucket.put("media/growing.mkv", content[:200_000] + random_bytes(1000) + content[201_000:])
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        async with machines.node._exchange.go_to(location, headers=range_header(0, 1000)):
            pass
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        await machines.node.resolve(ref, machines.folder / "w", ranges=[(0, 1000)])


async def test_where_a_store_tells_no_versions_the_ends_and_the_middle_are_compared(
    machines: Machines, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with weak ones, by which nothing can be asked for."""
    look = obstore.head_async

    async def look_weakly(store: Any, key: str) -> Any:
        return {**await look(store, key), "e_tag": 'W/"1"'}

    monkeypatch.setattr(obstore, "head_async", look_weakly)
    await bucket.put("media/weak.mkv", b"first")
    (ref,) = (await submit(machines, f"s3://{BUCKET}/media/weak.mkv")).inputs
    assert ref.version == ""
    assert (await machines.node.resolve(ref, machines.folder / "w")).read_bytes() == b"first"
    await bucket.put("media/weak.mkv", b"other")
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        await machines.node._exchange.locate(ref.id)


async def test_who_reads_an_object_through_the_scheduler_gets_no_other_version(
    machines: Machines, bucket: Bucket
) -> None:
    await bucket.put("media/one.mkv", b"first")
    _, version = await bucket.look("media/one.mkv")
    await bucket.put("media/one.mkv", b"other")
    assert await bucket.read("media/one.mkv", 1, 3) == b"the"
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        await bucket.read("media/one.mkv", 1, 3, version=version)


@pytest.mark.parametrize("address", ["s3://fleet/none.mkv", "s3://fleet", "s3://fleet/a/", "s3://fleet/../x"])
async def test_what_is_no_object_is_no_input(machines: Machines, address: str) -> None:
    with pytest.raises(InputError):
        await submit(machines, address)


async def test_objects_that_the_operator_did_not_name_are_no_inputs(
    tmp_path: Path, redis_server: RedisServer, s3: S3Server, bucket: Bucket
) -> None:
    given = artifact_settings(s3, object_roots=(f"s3://{BUCKET}/public",))
    for key in ("public/a.mkv", "public-not/a.mkv", "private/a.mkv"):
        await bucket.put(key, b"a film")
    async with machines_on(settings_of(tmp_path, redis_server, given), tmp_path) as machines:
        await submit(machines, f"s3://{BUCKET}/public/a.mkv")
        for key in ("public-not/a.mkv", "private/a.mkv"):
            with pytest.raises(InputError, match=r"artifacts\.object_roots"):
                await submit(machines, f"s3://{BUCKET}/{key}")


async def submit(machines: Machines, address: str) -> Any:
    return await machines.user.submit(Submission(kind="transcode", input=address))


# --- end to end ------------------------------------------------------------------------------------


async def test_a_film_in_s3_is_transcoded_by_a_node_without_credentials(
    s3: S3Server, bucket: Bucket, tmp_path: Path
) -> None:
    clip = await make_clip(tmp_path / "clip.mp4", seconds=1)
    await bucket.put("media/clip.mp4", clip.read_bytes())
    without = dict.fromkeys(s3.environment, "")
    with tempfile.TemporaryDirectory(prefix="mf-") as name, running_fleet(Path(name), **s3.environment) as fleet:
        await asyncio.to_thread(lambda: fleet.start_node("one", **without))
        answer = fleet.post("/api/v1/jobs", {"kind": "transcode", "input": f"s3://{BUCKET}/media/clip.mp4"})
        view = await asyncio.to_thread(lambda: fleet.wait_status(answer["id"], "completed", "failed"))
        assert view["status"] == "completed", view["error"]
        output = fleet.download(view["outputs"][0]["id"])
        assert view["outputs"][0]["uri"].startswith(f"s3://{BUCKET}/artifacts/")
        fleet.wait_idle()
    assert b"ftyp" in output[:16]
