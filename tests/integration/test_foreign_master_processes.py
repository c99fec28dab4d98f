"""Our node at a SignalR master that drops, restarts, forgets and repeats: each task once, and every result arrives."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alone_node import AloneNode, write_models, write_talk
from tests_support.fleet_process import free_port, running_fleet
from tests_support.measuring import unmeasured_children
from tests_support.stub_master import StubMaster

from mediafleet.testing import make_clip

pytestmark = pytest.mark.timeout(240)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "node-api.md"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path: a unix socket must fit below it."""
    path = Path(tempfile.mkdtemp(prefix="mf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[AloneNode]:
    """A node of its own, with no master yet."""
    node = AloneNode(folder)
    with unmeasured_children():
        node.start()
        try:
            yield node
            node.close()
        finally:
            if node.process and node.process.poll() is None:
                node.kill()


@pytest.fixture
def talks(tmp_path: Path) -> list[Path]:
    return [write_talk(tmp_path / f"talk-{number}.wav", number) for number in range(3)]


def targets(talk: Path) -> tuple[Path, Path]:
    return talk.parent / "out" / f"{talk.stem}.eo.srt", talk.parent / "out" / f"{talk.stem}.en.vtt"


async def give(master: StubMaster, task: int, talk: Path) -> None:
    await master.start(task, talk, *targets(talk))


async def test_each_task_is_done_once_whatever_the_master_does(
    node: AloneNode, talks: list[Path], tmp_path: Path
) -> None:
    master = StubMaster()
    async with master.serving():
        answer = await node.calls("GET", f"/set-master?url={master.url}")
        assert answer["success"] is True
        assert answer["master_url"] == master.url
        caller = await master.worker()
        assert master.registered[0][1] == node.url
        node.gate.touch()
        for task, talk in enumerate(talks, start=1):
            await give(master, task, talk)
            await give(master, task, talk)
        await master.until(lambda: {task for task, _, _ in master.progress} == {1, 2, 3})
        caller.close("The master falls over.")
        await master.until(lambda: len(master.registered) == 2)
        await give(master, 2, talks[1])

    # The master is away: what runs goes on, and so does work that is handed in here.
    await node.until(lambda: not node.ask("GET", "/status")["is_connected"], "the loss to be noticed")
    handed = await node.calls("POST", "/task", {"kind": "noop", "params": {"echo": "on my own"}})
    node.gate.unlink()
    done = await node.until(
        lambda: view if (view := node.ask("GET", f"/task/{handed['id']}"))["status"] == "completed" else None, "the job"
    )
    assert done["result"] == {"echo": "on my own"}
    await node.until(lambda: node.ask("GET", "/status")["tasks"] == {"running": 0, "undelivered": 3}, "the results")
    assert all(path.exists() for talk in talks for path in targets(talk))

    # It is back, has forgotten everything, and gives a task again.
    master.forget()
    async with master.serving():
        await master.until(lambda: len(master.completed) == 3)
        assert master.done == {1: 1, 2: 1, 3: 1}
        await node.until(lambda: node.ask("GET", "/status")["tasks"]["undelivered"] == 0, "delivery")
        await give(master, 3, talks[2])
        await master.until(lambda: master.done[3] == 2)
        assert master.failed == []
        subtitled = [job for job in await asyncio.to_thread(node.jobs) if job["kind"] == "subtitle"]
        assert len(subtitled) == 3
        assert "unu" in targets(talks[0])[0].read_text().lower()
        translated = targets(talks[0])[1].read_text()
        assert translated.startswith("WEBVTT")
        assert "one" in translated.lower()
        await node.calls("POST", "/disconnect-master")
        assert (await node.calls("GET", "/status"))["master_url"] == ""


async def test_a_node_that_is_killed_goes_on_where_it_was(node: AloneNode, talks: list[Path]) -> None:
    master = StubMaster()
    async with master.serving():
        await node.calls("POST", "/set-master", {"url": master.url})
        await master.worker()
        node.gate.touch()
        for task, talk in enumerate(talks, start=11):
            await give(master, task, talk)
        await master.until(lambda: {task for task, _, _ in master.progress} == {11, 12, 13})
        await asyncio.to_thread(node.kill)
        master.forget()
        node.gate.unlink()
        # It knows its master by itself.
        await asyncio.to_thread(node.start)
        await master.until(lambda: len(master.completed) == 3)
        assert master.done == {11: 1, 12: 1, 13: 1}
        assert master.failed == []
        await node.calls("POST", "/disconnect-master")


async def test_what_is_stopped_ends_and_what_cannot_be_done_is_told(node: AloneNode, talks: list[Path]) -> None:
    master = StubMaster()
    async with master.serving():
        await node.calls("POST", f"/set-master?url={master.url}")
        caller = await master.worker()
        node.gate.touch()
        await give(master, 21, talks[0])
        await master.until(lambda: master.progress)
        caller.send("StopSubtitize", 21)
        await master.start(22, talks[1], *targets(talks[1]), language="fr")
        await master.until(lambda: len(master.failed) == 2)
        node.gate.unlink()
        told: dict[int, str] = dict(master.failed)
        assert told[21] == "The master stopped it."
        assert "translate eo>fr" in told[22]
        await node.calls("POST", "/disconnect-master")


async def test_a_node_with_a_scheduler_hands_its_masters_tasks_in_there(folder: Path, talks: list[Path]) -> None:
    master, api = StubMaster(), free_port()
    (folder / "shared").mkdir()
    models = write_models(folder / "shared" / "models")
    engines = {"MEDIAFLEET_ENGINES__ENABLED": "true", "MEDIAFLEET_ENGINES__MODELS": str(models)}
    async with master.serving():
        own = {
            "MEDIAFLEET_MASTER__URL": master.url,
            "MEDIAFLEET_MASTER__LANGUAGE": "eo",
            "MEDIAFLEET_NODE__API": f"127.0.0.1:{api}",
        }
        with unmeasured_children(), running_fleet(folder / "shared", **engines) as fleet:
            await asyncio.to_thread(fleet.start_node, "one", **own)
            await give(master, 1, talks[0])
            await master.until(lambda: master.completed)
            [job] = (await asyncio.to_thread(fleet.get, "/api/v1/jobs"))["jobs"]
            assert (job["kind"], job["status"]) == ("subtitle", "completed")
            assert master.registered[0][1] == f"http://127.0.0.1:{api}"


async def test_the_examples_of_the_page_work_as_they_stand(node: AloneNode, tmp_path: Path) -> None:
    film = await make_clip(tmp_path / "film.mp4", seconds=8, size="640x360")
    [block] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = block.replace("http://127.0.0.1:9000", node.url).replace("file:///films/film.mp4", film.as_uri())
    ran = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-ec", script.replace("curl -s ", "curl -sS -w '\\n' ")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers = read_answers(ran.stdout)
    assert [answer.get("success", False) for answer in answers] == [True] * 6 + [False]
    status, by_get, by_post, gone, looked, stopped, again = answers
    assert status["status"] == "idle"
    assert by_get["master_url"] == by_post["master_url"] == "http://127.0.0.1:1/signalrhub"
    assert "no master" in gone["message"]
    assert looked["kind"] == "transcode"
    assert stopped["status"] == "cancelled"
    assert again["status"] == 409


def read_answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]
