"""Files that look like films and name other files: nothing is read for them, and nobody is called."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests_support.attacks import PLAYLISTS
from tests_support.contained import contained_children, transcode_contained

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode.arguments import quiet_options
from mediafleet.kinds.transcode.demuxers import input_options, joined_options, url
from mediafleet.kinds.transcode.index import read_index
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import LocalChildProcess, make_clip

METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
"""Where machines of a cloud learn their secrets; no test can see it being called, but a refusal comes before that."""


class Listener:
    """A loopback server that notes who calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        calls = self.calls

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                calls.append(self.path)
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret.ts"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.stop()


@pytest.fixture
async def secret(tmp_path: Path) -> Path:
    """A film that nobody named: were the list followed, a transcode of it would succeed."""
    return await make_clip(tmp_path / "secret.ts", seconds=0.2, sound=False)


def lure(folder: Path, name: str, target: str, ending: str = "mp4") -> Path:
    path = folder / f"film.{ending}"
    path.write_text(PLAYLISTS[name].format(target=target), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PLAYLISTS)
async def test_a_list_of_files_is_no_film(tmp_path: Path, listener: Listener, secret: Path, name: str) -> None:
    """Whatever its ending; the sentence tells nothing of what the list names."""
    for target in (secret.as_uri(), secret.name, listener.url, METADATA):
        path = lure(tmp_path, name, target, ending="mkv" if target == METADATA else "mp4")
        with pytest.raises(UnreadableMedia) as refused:
            await transcode_contained(path, tmp_path / "work", {"preset": "copy", "container": "mkv"})
        assert "secret" not in refused.value.message
        assert refused.value.message.startswith(f"“{path.name}”")
    assert listener.calls == []


async def run_ffmpeg(words: list[str], folder: Path) -> tuple[int, str]:
    """Run FFmpeg as it is, with the network of this machine."""
    child = await LocalChildProcess.start([find_ffmpeg().path, *quiet_options(tells_progress=False), *words], folder)
    try:
        async with asyncio.timeout(30):
            return await child.wait(), child.errors()
    finally:
        await child.stop()


async def test_ffmpeg_alone_follows_no_list_either(tmp_path: Path, listener: Listener, secret: Path) -> None:
    """Without the probe before it, without the namespace around it: what it is told is enough."""
    for name in PLAYLISTS:
        for number, target in enumerate((secret.name, listener.url)):
            path = lure(tmp_path, name, target)
            output = tmp_path / f"{name}-{number}.mkv"
            for forced in ("", "mov", "mpegts"):
                words = [*input_options(forced), "-i", url(path), "-c", "copy", url(output)]
                code, said = await run_ffmpeg(words, tmp_path)
                assert code != 0, (name, said)
                assert not output.exists()
                if not forced:
                    break
    assert listener.calls == []


async def test_without_our_words_the_listener_would_be_called(tmp_path: Path, listener: Listener) -> None:
    """That the attack is real, and the listener would see it."""
    path = lure(tmp_path, "ffconcat", listener.url)
    await run_ffmpeg(
        ["-safe", "0", "-protocol_whitelist", "file,http,tcp", "-i", url(path), "-f", "null", "-"], tmp_path
    )
    assert listener.calls == ["/secret.ts"]
    listener.calls.clear()


@pytest.mark.parametrize("name", ["hls", "ffconcat", "dash"])
async def test_the_index_of_a_list_is_empty(tmp_path: Path, listener: Listener, name: str) -> None:
    path = lure(tmp_path, name, listener.url)
    async with contained_children(tmp_path) as children:
        index = await read_index(_Starter(children), path, 0, name="film.mp4")
    assert index.broken
    assert not index.pts
    assert listener.calls == []


class _Starter:
    def __init__(self, children: object) -> None:
        self.start_process = getattr(children, "start")  # noqa: B009 - the name differs, the call is the same
        self.start_script = getattr(children, "start_script")  # noqa: B009 - as above


CHUNKS = {
    "a chunk that is a playlist": ("file chunk-0.mp4", PLAYLISTS["hls"]),
    "a chunk that is a list": ("file chunk-0.mp4", PLAYLISTS["ffconcat"]),
    "a chunk that is of another format": ("file secret.ts", ""),
    "a path upwards": ("file ../secret.ts", ""),
    "an absolute path": ("file {folder}/secret.ts", ""),
    "a protocol": ("file subfile,,start,0,end,0,,:chunk-0.mp4", ""),
    "an address": ("file {url}", ""),
    "options that open the way": ("file chunk-0.mp4\noption protocol_whitelist file,http,tcp", PLAYLISTS["hls"]),
}


@pytest.mark.parametrize("what", CHUNKS)
async def test_the_join_reads_our_chunks_and_nothing_else(
    tmp_path: Path, listener: Listener, secret: Path, what: str
) -> None:
    entry, content = CHUNKS[what]
    (tmp_path / "chunk-0.mp4").write_text(content.format(target=listener.url))
    listing = tmp_path / "chunks.ffconcat"
    listing.write_text(f"ffconcat version 1.0\n{entry.format(folder=secret.parent, url=listener.url)}\n")
    output = tmp_path / "out.mkv"
    code, said = await run_ffmpeg([*joined_options(), "-i", url(listing), "-c", "copy", url(output)], tmp_path)
    assert code != 0, said
    assert not output.exists()
    assert listener.calls == []
