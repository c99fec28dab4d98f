"""The command line against a real fleet, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support.served_fleet import PATIENCE_S, served_fleet

from mediafleet.testing import make_clip


class Shell:
    """Runs `mediafleet` commands on one data directory, whose fleet starts with the first that needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "mediafleet.cli", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment,
            timeout=PATIENCE_S,
        )

    def on_fleet(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to the fleet of the data directory."""
        return self.run(*words, "--data", self.data)

    def ask(self, *words: str | Path) -> Any:
        """Return what a command prints as JSON."""
        done = self.on_fleet(*words, "--json")
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with a fleet that serves as long as the tests of this module run."""
    shell = Shell(tmp_path_factory.mktemp("cli"))
    with served_fleet(shell.data):
        yield shell


@pytest.fixture
async def clip(tmp_path: Path) -> Path:
    """A short clip with a name that a careless program trips over."""
    return await make_clip(tmp_path / 'it\'s a\n"clip"; rm -rf é.mp4', seconds=1)


def test_one_good_and_one_broken_file_give_one_result_and_one_sentence(
    shell: Shell, clip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "-broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    done = shell.on_fleet("transcode", clip, broken, "--out", tmp_path / "out", "--json")
    assert done.returncode == 1
    good, bad = json.loads(done.stdout)
    assert (good["status"], bad["status"]) == ("completed", "failed")
    assert Path(good["output"]).stat().st_size > 1000
    assert bad["error"]["code"] == "unreadable-media"
    assert "Traceback" not in done.stderr


def test_a_result_is_not_overwritten_without_force(shell: Shell, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert shell.on_fleet("transcode", clip, "--out", out).returncode == 0
    (result,) = out.iterdir()
    result.write_text("mine")
    refused = shell.on_fleet("transcode", clip, "--out", out)
    assert refused.returncode == 1
    assert "--force" in refused.stderr + refused.stdout
    assert result.read_text() == "mine"
    assert shell.on_fleet("transcode", clip, "--out", out, "--force").returncode == 0
    assert result.stat().st_size > 1000


def test_a_job_goes_through_the_separate_steps(shell: Shell, clip: Path, tmp_path: Path) -> None:
    done = shell.on_fleet("submit", "transcode", clip, "--param", "preset=mp3", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert shell.ask("jobs")["total"] >= 1
    newest = shell.ask("jobs")["jobs"][0]
    view = shell.ask("job", newest["id"])
    assert view["status"] == "completed"
    assert view["params"]["preset"] == "mp3"
    fetched = shell.on_fleet("get", newest["id"], "--out", tmp_path / "fetched")
    assert fetched.returncode == 0, fetched.stderr
    assert [path.suffix for path in (tmp_path / "fetched").iterdir()] == [".mp3"]
    assert shell.on_fleet("cancel", newest["id"]).returncode == 1
    assert shell.on_fleet("retry", newest["id"]).returncode == 1


def test_a_node_is_drained_and_taken_back(shell: Shell) -> None:
    (node,) = shell.ask("nodes")
    assert shell.on_fleet("drain", node["id"]).returncode == 0
    assert shell.ask("nodes")[0]["state"] == "draining"
    assert shell.on_fleet("drain", node["id"], "--undo").returncode == 0
    assert shell.ask("nodes")[0]["state"] == "ready"
    assert shell.ask("pools")[0]["free"] == node["executors"][0]["slots"]


def test_check_says_what_works_here(shell: Shell) -> None:
    found = shell.on_fleet("check", "--json")
    assert found.returncode == 0, found.stderr
    assert "encoder:libx264" in found.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("transcode", "nowhere.mp4"), 1, "nowhere.mp4"),
        (("transcode", ".", "--preset", "nope"), 2, "h264, hevc"),
        (("submit", "transcod"), 1, "transcode"),
        (("job", "j0-0000000000000"), 1, "no job"),
        (("get", "nonsense"), 1, "nonsense"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_a_mistake_gets_a_sentence_and_an_exit_code(shell: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    done = shell.run(*words) if words == ("frobnicate",) else shell.on_fleet(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_second_fleet_on_the_same_data_is_refused(shell: Shell) -> None:
    done = shell.run("up", "--data", shell.data, "--port", "0")
    assert done.returncode == 1
    assert "in use" in done.stderr or "already" in done.stderr


def test_a_command_without_a_fleet_starts_one_for_itself(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell.on_fleet("submit", "noop", "--param", "echo=hi", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout
    record = json.loads((shell.data / "fleet.json").read_text())
    fleet = psutil.Process(record["pid"])
    fleet.send_signal(signal.SIGINT)
    fleet.wait(PATIENCE_S)
    assert not (shell.data / "fleet.json").exists()
