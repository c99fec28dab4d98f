"""A peer is told what to do line by line; here one that does nothing, in this process and in one of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from tests_support.children import children_with

from mediafleet import bench
from mediafleet.bench import noop, peer_process, throughput
from mediafleet.bench.peer_process import InstalledPeer, PeerProcess, find_peers
from mediafleet.bench.peers import catalogue, seam
from mediafleet.bench.peers.__main__ import serve
from mediafleet.domain.errors import ConfigError, TaskFailed
from mediafleet.store.embedded import EmbeddedRedis

FAKE = """
import asyncio, os, pathlib

class Fake:
    settings = "nothing set"
    def worker_command(self):
        return ["-c", "import os, time; open('worker', 'w').write(str(os.getpid())); print('noise', flush=True); time.sleep(600)"]
    async def submit(self, count):
        print("noise")
        await seam.until(self.is_up)
    async def is_up(self):
        return pathlib.Path("worker").exists() and bool(pathlib.Path("worker").read_text())
    async def wait(self, count):
        if count == 13:
            raise ValueError("unlucky")
        if count == 14:
            await asyncio.Event().wait()
    async def round_trip(self):
        pass

from peers import seam
make = Fake
"""
"""A module for an interpreter that has the package `peers`: 13 tasks fail, 14 never end."""


class CountingPeer:
    """A peer in this process."""

    settings: ClassVar[str] = "counting"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def worker_command(self) -> list[str]:
        return []

    async def submit(self, count: int) -> None:
        self.calls.append(f"submit {count}")

    async def wait(self, count: int) -> None:
        self.calls.append(f"wait {count}")

    async def round_trip(self) -> None:
        self.calls.append("round trip")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that peers' interpreters import from, with the fake beside the real package."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "peers").symlink_to(Path(seam.__file__).parent)
    (folder / "fake_peer.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.setattr(peer_process, "_MODULES", folder)
    return folder


def make_python(path: Path, installed: dict[str, str]) -> Path:
    """Write an interpreter that claims to have peers, and runs the fake whichever is asked for."""
    listed = f"if [ \"$3\" = --list ]; then echo '{json.dumps(installed)}'; exit; fi"
    path.write_text(f"#!/bin/sh\n{listed}\nexec '{sys.executable}' -m peers fake_peer\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def run_fake() -> AbstractAsyncContextManager[PeerProcess]:
    return peer_process.peer_process("fake", "fake_peer", python=Path(sys.executable), redis_url="unix:///nowhere")


def worker_of(child: psutil.Process) -> psutil.Process:
    [worker] = child.children(recursive=True)
    return worker


async def test_lines_are_answered_one_by_one_until_they_end() -> None:
    peer, answers = CountingPeer(), io.StringIO()
    await serve(peer, io.StringIO('{"push": 5}\n{"single": 2}\n'), answers)
    settings, pushed, singles = map(json.loads, answers.getvalue().splitlines())
    assert settings == {"settings": "counting"}
    assert pushed["seconds"] >= 0
    assert len(singles["ms"]) == 2
    assert peer.calls == ["submit 5", "wait 5", "round trip", "round trip"]


async def test_waiting_asks_until_the_answer_is_yes() -> None:
    answers = [False, False, True]

    async def is_over() -> bool:
        return answers.pop(0)

    await seam.until(is_over)
    assert answers == []


def test_a_peer_counts_as_installed_where_all_that_it_needs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PEERS", {"whole": ("redis", "psutil"), "half": ("redis", "no-such-thing")})
    [(name, words)] = catalogue.find_installed().items()
    assert name == "whole"
    assert words.startswith("redis ")
    assert ", psutil " in words
    assert f"Python {sys.version.split()[0]}" in words


def test_every_peer_of_the_catalogue_has_a_module() -> None:
    folder = Path(seam.__file__).parent
    assert sorted(path.stem for path in folder.glob("*_peer.py")) == sorted(f"{name}_peer" for name in catalogue.PEERS)


async def test_the_workers_run_inside_the_block_and_are_gone_after_it(modules: Path) -> None:
    async with run_fake() as fake:
        assert await fake.push(3) >= 0
        assert len(await fake.single(4)) == 4
        assert fake.settings == "nothing set"
        [child] = children_with("fake_peer")
        worker = worker_of(child)
    assert not child.is_running()
    assert not worker.is_running()


async def test_a_peer_that_fails_says_its_last_words_and_leaves_no_worker(modules: Path) -> None:
    async with run_fake() as fake:
        await fake.push(3)
        [child] = children_with("fake_peer")
        worker = worker_of(child)
        with pytest.raises(TaskFailed, match="fake ended") as failure:
            await fake.push(13)
        assert failure.value.detail.endswith("ValueError: unlucky")
    assert not worker.is_running()


async def test_a_peer_that_hangs_is_ended_with_its_workers(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "STOP_LIMIT_S", 0.1)
    async with run_fake() as fake:
        await fake.push(3)
        [child] = children_with("fake_peer")
        worker = worker_of(child)
        monkeypatch.setattr(peer_process, "ANSWER_LIMIT_S", 0.1)
        with pytest.raises(TaskFailed, match="did not answer"):
            await fake.push(14)
    _, alive = await asyncio.to_thread(psutil.wait_procs, [child, worker], 20)
    assert not alive


async def test_a_module_that_cannot_be_imported_ends_the_start(modules: Path) -> None:
    with pytest.raises(TaskFailed) as failure:
        async with peer_process.peer_process("x", "no_such", python=Path(sys.executable), redis_url="unix:///x"):
            pytest.fail("there is no such peer")
    assert "no_such" in failure.value.detail


async def test_the_first_interpreter_that_has_a_peer_runs_it(tmp_path: Path) -> None:
    first = make_python(tmp_path / "first", {"huey": "huey 1"})
    second = make_python(tmp_path / "second", {"huey": "huey 2", "celery": "celery 2"})
    found, missing = await find_peers([first, second])
    assert found == [InstalledPeer("celery", second, "celery 2"), InstalledPeer("huey", first, "huey 1")]
    assert missing == ["dramatiq", "arq", "taskiq", "saq"]


async def test_this_interpreter_can_be_asked() -> None:
    found, missing = await find_peers([Path(sys.executable)])
    assert {*missing, *(peer.name for peer in found)} == set(catalogue.PEERS)


@pytest.mark.parametrize(("path", "words"), [("/no/such/python", "cannot be run"), ("/bin/true", "is no Python")])
async def test_what_is_no_python_is_refused_by_name(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        await find_peers([Path(path)])
    assert path in str(refusal.value)


@pytest.fixture
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    monkeypatch.setattr(noop, "NODES", 2)
    for name, value in {"JOBS": 20, "WARM_UP": 10, "SINGLES": 2, "ROUNDS": 2}.items():
        monkeypatch.setattr(throughput, name, value)


@pytest.mark.usefixtures("small_numbers", "modules")
def test_peers_stand_in_the_list_with_versions_settings_and_ratios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = make_python(tmp_path / "python", {"huey": "huey 9.9, Python 3.99"})
    assert bench.main(["noop"], json=True, peers_python=[python]) == 0
    printed = capsys.readouterr()
    figures = {figure["name"]: figure for figure in json.loads(printed.out)}
    assert figures["noop_tasks_per_s"]["ratio"] > 0
    assert figures["noop_tasks_per_s"]["compared_to"].startswith("huey ")
    about = figures["noop_tasks_per_s.huey"]["compared_to"]
    assert about.startswith("huey 9.9, Python 3.99; nothing set; ")
    assert about.endswith("AOF everysec, unix socket")
    assert f"Not installed in {python}, so not measured: celery, dramatiq, arq, taskiq, saq." in printed.err


@pytest.mark.usefixtures("small_numbers", "modules")
def test_a_peer_that_fails_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(throughput, "JOBS", 13)
    python = make_python(tmp_path / "python", {"huey": "huey 9.9"})
    assert bench.main(["noop"], json=True, peers_python=[python]) == 0
    printed = capsys.readouterr()
    assert all(figure["ratio"] is None for figure in json.loads(printed.out))
    # It is not tried again in the second round.
    assert printed.err.count("Left out: huey ended") == 1
    assert "unlucky" in printed.err


@pytest.mark.parametrize("name", catalogue.PEERS)
async def test_a_real_peer_runs_what_it_is_given(name: str, tmp_path: Path) -> None:
    """`MEDIAFLEET_TEST_PEERS_PYTHON` names interpreters that have peers, separated as in PATH."""
    pythons = os.environ.get("MEDIAFLEET_TEST_PEERS_PYTHON", sys.executable).split(os.pathsep)
    found = {peer.name: peer for peer in (await find_peers([Path(python) for python in pythons]))[0]}
    if name not in found:
        pytest.skip(f"{name} is not installed; `pip install 'mediafleet[bench-peers]'` brings most peers")
    peer = found[name]
    async with (
        EmbeddedRedis(tmp_path) as store,
        peer_process.peer_process(name, peer.module, python=peer.python, redis_url=store.url) as process,
    ):
        assert await process.push(30) > 0
        assert await process.push(20) > 0
        assert len(await process.single(3)) == 3
