"""The command line itself: its help, its refusals, and what it does with broken streams."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
from tests_support.command_line import Ran, RunCli

from mediafleet import __version__
from mediafleet.cli._app import hoist_options

COMMANDS = (
    "up scheduler node transcode submit jobs job cancel retry dead get nodes drain check demo bench pools".split()  # noqa: SIM905 - as people type them
)


def test_help_names_every_command(bare: RunCli) -> None:
    ran = bare("--help")
    assert ran.code == 0
    assert all(f" {command} " in ran.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_with_examples(bare: RunCli, command: str) -> None:
    ran = bare(command, "--help")
    assert ran.code == 0
    assert f"Examples:\n  mediafleet {command}" in ran.out


def test_the_version_is_printed(bare: RunCli) -> None:
    assert bare("--version").out.strip() == __version__


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("trascode",), "transcode"),
        (("transcode", "a", "--prest", "x"), "--preset"),
        (("transcode",), "at least one file"),
        (("transcode", "a", "--crf", "much"), "much"),
        (("transcode", "a", "--preset", "h265"), "h264"),
        (("transcode", "a", "--param", "x"), "--param"),
        (("cancel",), "at least one job"),
        (("jobs", "--limit", "0"), "--limit"),
        (("jobs", "--status", "lost"), "pending"),
        (("submit",), "KIND"),
        (("submit", "noop", "--params", "["), "JSON"),
        (("nodes", "--token-file", "missing"), "missing"),
        (("nodes", "--config", "missing.toml"), "missing.toml"),
        (("nodes", "--server", "ftp://x"), "no server address"),
        (("up", "--nodes", "0"), "--nodes"),
        (("up", "--port", "99999"), "port"),
    ],
)
def test_a_command_line_that_makes_no_sense_exits_2_with_a_sentence(
    bare: RunCli, words: tuple[str, ...], hint: str
) -> None:
    ran = bare(*words)
    assert ran.code == 2
    assert hint in ran.err
    assert ran.err.startswith("mediafleet: ")
    assert "Traceback" not in ran.err
    assert not ran.out


@pytest.mark.parametrize(
    "words", [("transcode", "--json", "--foo", "x"), ("--json", "trascode"), ("demo", "--json", "x")]
)
def test_a_program_gets_a_command_line_that_makes_no_sense_as_a_document(bare: RunCli, words: tuple[str, ...]) -> None:
    ran = bare(*words)
    assert ran.code == 2
    assert ran.json["error"]["code"] == "invalid-request"
    assert ran.json["error"]["message"] in ran.err


def test_a_file_that_is_called_like_an_option_asks_for_no_document(bare: RunCli) -> None:
    assert not bare("transcode", "--foo", "--", "--json").out


def test_a_token_file_must_hold_a_token(bare: RunCli) -> None:
    with open("token", "w", encoding="utf-8") as file:  # noqa: PTH123 - one empty file
        file.write("\n")
    assert "is empty" in bare("nodes", "--token-file", "token").err


def test_shared_options_may_stand_before_the_command() -> None:
    assert hoist_options(["--json", "--server", "x", "jobs", "--limit", "1"]) == [
        "jobs", "--json", "--server", "x", "--limit", "1",
    ]  # fmt: skip
    assert hoist_options(["--server=x", "jobs"]) == ["jobs", "--server=x"]
    assert hoist_options(["--help"]) == ["--help"]
    assert hoist_options(["--json"]) == ["--json"]


def run_shell(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PY": sys.executable}
    return subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, env=environment, check=False)


def test_a_reader_that_goes_away_is_no_error() -> None:
    ran = run_shell('"$PY" -m mediafleet.cli --help | head -n 1; exit ${PIPESTATUS[1]}')
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert "Exception" not in ran.stderr


def test_ctrl_c_while_the_program_is_still_loading_is_a_sentence(bare: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "cyclopts", Loading("cyclopts"))
    assert bare("jobs") == Ran(130, "", "Interrupted before anything was done.\n")


def test_closed_streams_are_no_error() -> None:
    ran = run_shell('"$PY" -m mediafleet.cli --version >&- 2>&-')
    assert ran.returncode == 0


def test_a_stream_that_cannot_hold_a_name_gets_escapes() -> None:
    ran = run_shell('PYTHONIOENCODING=ascii "$PY" -m mediafleet.cli transcode 漢.mp4 --server http://127.0.0.1:1')
    assert ran.returncode == 1
    assert "does not exist" in ran.stderr
    assert "Traceback" not in ran.stderr
