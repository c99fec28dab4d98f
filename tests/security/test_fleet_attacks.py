"""The same attacks on a whole fleet: over REST, from the command line, in users' preset files, in names and in tags."""

from __future__ import annotations

import asyncio
import html
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from tests_support.attacks import FILTERS, NAMES, OPTIONS, PACKED
from tests_support.served_fleet import PATIENCE_S, served_fleet

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.transcode.preset_files import complete_params
from mediafleet.ops.settings import Settings, TranscodeSettings
from mediafleet.testing import make_clip

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
HOSTILE_NAMES = (
    "-i.mp4",
    "%03d\nx.mp4",
    "concat:a|b.mp4",
    "$(touch pwned).mp4",
    "evil\u202e4pm.mp4",
    "x" * 251 + ".mp4",
)
"""A few of `NAMES`, all of which the handler is held to: these go the whole way, as inputs, uploads and results."""


class Fleet:
    """A fleet that only takes files below one folder, whose owner has a report of FFmpeg switched on."""

    def __init__(self, folder: Path) -> None:
        self.media, self.presets, self.data = folder / "media", folder / "presets", folder / "data"
        self.report = folder / "report.log"
        self.outside = folder / "outside.mp4"
        for made in (self.media, self.presets):
            made.mkdir()
        self.environment = {
            **os.environ,
            "MEDIAFLEET_ARTIFACTS__FILE_ROOTS": str(self.media),
            "MEDIAFLEET_TRANSCODE__PRESETS": str(self.presets),
            "MEDIAFLEET_NODE__HEADROOM": "cpu:0,memory:0,disk:0,gpu:0",
            "FFREPORT": f"file={self.report}:level=32",
            "NO_COLOR": "1",
        }
        self.url = ""

    def run(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the fleet."""
        return subprocess.run(
            # The folder comes first: what stands behind a bare `--` is no option any more.
            [sys.executable, "-m", "mediafleet.cli", str(words[0]), "--data", str(self.data), *map(str, words[1:])],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd or self.media,
            env=self.environment,
            timeout=PATIENCE_S,
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("attacked"))
    with served_fleet(fleet.data, fleet.environment) as fleet.url:
        yield fleet
    assert not fleet.report.exists(), "a variable of its owner reached FFmpeg"


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fleet.url) as session:
        yield session


@pytest.fixture
async def clip(fleet: Fleet) -> Path:
    path = fleet.media / "plain.mp4"
    return path if path.exists() else await make_clip(path, seconds=0.2, sound=False)


async def refuse(client: aiohttp.ClientSession, body: dict[str, object]) -> str:
    """Submit, and return the sentence with which it is refused."""
    async with client.post("/api/v1/jobs", json={"kind": "transcode", **body}) as response:
        assert 400 <= response.status < 500, await response.text()
        problem = await response.json(content_type="application/problem+json")
        return str(problem["detail"])


async def test_no_option_or_filter_comes_in_over_rest(client: aiohttp.ClientSession, clip: Path) -> None:
    source = clip.as_uri()
    for option, value in OPTIONS:
        for name in (option, option.lstrip("-")):
            for params in (
                {name: value},
                {"video": {name: value}},
                {"filters": {name: value}},
                {"recipe": {name: value}},
            ):
                assert await refuse(client, {"input": source, "params": params})
    for text in (*FILTERS, *PACKED):
        for params in ({"preset": text}, {"filters": {"denoise": text}}, {"video": {"tune": text}}):
            assert await refuse(client, {"input": source, "params": params})


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_no_option_comes_in_by_a_preset_file(tmp_path: Path, option: str, value: str) -> None:
    settings = Settings(transcode=TranscodeSettings(presets=str(tmp_path)))
    line = f"{json.dumps(option.lstrip('-'))} = {json.dumps(value)}\n"
    for number, place in enumerate(
        ("", "[video]\n", "[audio]\n", "[filters]\n", "[video.options]\n", "[video.limits]\n")
    ):
        (tmp_path / f"evil{number}.toml").write_text(f'based_on = "h264"\n{place}{line}')
        with pytest.raises(InvalidParams, match=f"preset file evil{number}.toml does not fit"):
            complete_params({"preset": f"evil{number}"}, settings)


@pytest.mark.parametrize("text", [*FILTERS, *PACKED])
def test_no_filter_comes_in_by_a_preset_file(tmp_path: Path, text: str) -> None:
    settings = Settings(transcode=TranscodeSettings(presets=str(tmp_path)))
    places = (
        "container",
        "video.encoder",
        "video.options.tune",
        "audio.codec",
        "filters.denoise",
        "filters.pad.colour",
    )
    for number, key in enumerate(places):
        (tmp_path / f"evil{number}.toml").write_text(f'based_on = "h264"\n{key} = {json.dumps(text)}\n')
        with pytest.raises(InvalidParams, match="does not fit"):
            complete_params({"preset": f"evil{number}"}, settings)


@pytest.mark.parametrize("name", ["../presets/evil", "/etc/passwd", "..%5Cevil", "evil\n", "evil\0", "http://x/evil"])
def test_a_preset_is_a_word_and_no_path(fleet: Fleet, name: str) -> None:
    (fleet.presets / "evil.toml").write_text('based_on = "h264"\n')
    settings = Settings(transcode=TranscodeSettings(presets=str(fleet.presets)))
    with pytest.raises(InvalidParams, match="There is no preset"):
        complete_params({"preset": name}, settings)


@pytest.mark.parametrize(
    "words",
    [
        ("--param", "vf=movie=/etc/passwd"),
        ("--param", "-/vf=/etc/passwd"),
        ("--param", "video.x264-params=stats=pwned"),
        ("--param", "video.tune=film:stats=pwned"),
        ("--param", "filters.metadata=print:file=pwned"),
        ("--preset", "../evil"),
        ("-passlogfile", "pwned"),
        ("--", "-progress", "http://192.0.2.1/"),
    ],
    ids=" ".join,
)
def test_no_option_comes_in_by_the_command_line(
    fleet: Fleet, clip: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = fleet.run("transcode", clip, *words, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    # Behind `--`, all words are names of inputs: those that are none are refused, and the film is made.
    assert os.listdir(tmp_path) == (["plain.mp4"] if "--" in words else [])


def addresses(fleet: Fleet) -> dict[str, str]:
    root = quote(str(fleet.media))
    outside = fleet.outside
    (fleet.media / "link.mp4").symlink_to(outside)
    (fleet.media / "folder").symlink_to(outside.parent)
    (fleet.media / "circle.mp4").symlink_to(fleet.media / "circle.mp4")
    (fleet.media / "device.mp4").symlink_to("/dev/zero")
    os.mkfifo(fleet.media / "pipe.mp4")
    return {
        "upwards": f"file://{root}/../outside.mp4",
        "upwards, encoded": f"file://{root}/%2e%2e/outside.mp4",
        "upwards, twice encoded": f"file://{root}/%252e%252e%252foutside.mp4",
        "backslashes": f"file://{root}/..%5Coutside.mp4",
        "another root": outside.as_uri(),
        "a root that begins alike": f"file://{root}2/outside.mp4",
        "a link": f"file://{root}/link.mp4",
        "through a linked folder": f"file://{root}/folder/outside.mp4",
        "a circle": f"file://{root}/circle.mp4",
        "a device": f"file://{root}/device.mp4",
        "a pipe": f"file://{root}/pipe.mp4",
        "a folder": f"file://{root}",
        "a share": "file://server/share/x.mp4",
        "a share in slashes": "file:////server/share/x.mp4",
        "a nul": f"file://{root}/plain.mp4%00.txt",
        "relative": "file:plain.mp4",
        "no address": "/etc/passwd",
        "concat": f"concat:{clip_of(fleet)}|{outside}",
        "subfile": f"subfile,,start,0,end,0,,:{clip_of(fleet)}",
        "data": "data:text/plain;base64,AAAA",
        "pipe protocol": "pipe:0",
        "metadata of a cloud": "http://169.254.169.254/latest/meta-data/",
    }


def clip_of(fleet: Fleet) -> Path:
    return fleet.media / "plain.mp4"


async def test_no_file_is_named_that_lies_elsewhere(fleet: Fleet, client: aiohttp.ClientSession, clip: Path) -> None:
    await make_clip(fleet.outside, seconds=0.2, sound=False)
    for what, address in addresses(fleet).items():
        said = await refuse(client, {"input": address, "params": {"preset": "copy"}})
        assert said, what
    async with client.post("/api/v1/jobs", json={"kind": "transcode", "input": clip.as_uri()}) as response:
        assert response.status == 201, "what lies below the root may be named"


async def finish(client: aiohttp.ClientSession, body: dict[str, object]) -> dict[str, object]:
    """Submit and wait for the end; return the job."""
    async with client.post("/api/v1/jobs", json={"kind": "transcode", **body}) as response:
        assert response.status == 201, await response.text()
        job = (await response.json())["id"]
    async with client.get(f"/api/v1/jobs/{job}/events") as stream:
        async for line in stream.content:
            if line.startswith((b"event: job.completed", b"event: job.failed", b"event: job.snapshot")):
                async with client.get(f"/api/v1/jobs/{job}") as response:
                    view: dict[str, object] = await response.json()
                if view["status"] in {"completed", "failed"}:
                    return view
    raise AssertionError("the stream of events ended before the job")


async def upload(client: aiohttp.ClientSession, name: str, path: Path) -> str:
    content = await asyncio.to_thread(path.read_bytes)
    async with client.post("/api/v1/artifacts", json={"name": name, "size": len(content)}) as response:
        assert response.status == 201, await response.text()
        made = str((await response.json())["id"])
    async with client.put(f"/api/v1/artifacts/{made}", data=content) as response:
        assert response.status == 200
    return f"artifact:{made}"


@pytest.mark.parametrize("name", ["../x.mp4", "/etc/x.mp4", "..", "", "a\0b.mp4", "x" * 256, "..//..//x"])
async def test_an_upload_has_a_name_and_no_path(client: aiohttp.ClientSession, name: str) -> None:
    async with client.post("/api/v1/artifacts", json={"name": name, "size": 1}) as response:
        assert response.status in {400, 422}, await response.text()


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
async def test_hostile_names_go_in_and_come_out_as_names(
    fleet: Fleet, client: aiohttp.ClientSession, clip: Path, tmp_path: Path, name: str
) -> None:
    """As an upload over REST, whose result a command then fetches into a folder."""
    assert name in NAMES or "\n" in name or "\u202e" in name
    before = sorted(os.listdir(fleet.media))
    source = await upload(client, name, clip)
    job = await finish(client, {"input": source, "params": {"preset": "copy", "container": "mkv"}})
    assert job["status"] == "completed", job
    folder = tmp_path / "out"
    done = fleet.run("get", str(job["id"]), "--out", folder)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    assert made.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(fleet.media)) == before


async def test_tags_and_names_stay_text_in_the_console(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Titles of the film, of its streams and its languages reach results and warnings."""
    tags = ["-metadata", f"title={EVIL}", "-metadata:s:v:0", f"title={EVIL}", "-metadata:s:a:0", f"language={EVIL}"]
    film = await make_clip(tmp_path / "film.mkv", seconds=0.2, extra=[*tags, "-metadata:s:a:0", f"title={EVIL}"])
    name = f"{EVIL.replace('/', '∕')}.mkv"
    source = await upload(client, name, film)
    job = await finish(client, {"input": source, "params": {"preset": "copy", "container": "mkv"}})
    assert job["status"] == "completed", job
    assert EVIL in json.dumps(job["result"], ensure_ascii=False).replace('\\"', '"')
    for page in ("/", f"/jobs/{job['id']}", "/console/jobs", f"/console/jobs/{job['id']}"):
        async with client.get(page) as response:
            text = await response.text()
            policy = response.headers.get("Content-Security-Policy", "")
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "script-src" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    async with client.get(f"/jobs/{job['id']}") as response:
        assert html.escape("<img src=x onerror=alert(2)>") in await response.text()
