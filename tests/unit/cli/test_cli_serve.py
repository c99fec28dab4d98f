"""`up`, `scheduler`, `node`: what is typed becomes the settings of the process, or is refused before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_support.command_line import RunCli

from mediafleet.app import alone, node, processes
from mediafleet.app.serving import Serving
from mediafleet.domain.errors import DataDirectoryInUse
from mediafleet.ops.settings import Settings

TOKEN = "a-token-of-sufficient-length-000000"  # noqa: S105 - of this test
nobody: Any = None


class Started:
    """Stands in for the processes themselves and keeps what they were started with."""

    def __init__(self) -> None:
        self.settings: list[Settings] = []
        self.more: list[dict[str, Any]] = []
        self.made_token = ""

    def __call__(self, settings: Settings, **more: Any) -> int:
        self.settings.append(settings)
        if tell := more.pop("tell", None):
            tell(Serving("http://127.0.0.1:1", TOKEN, nobody, settings.data, made_token=self.made_token))
        self.more.append(more)
        return 5


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    recorder = Started()
    for module, name in ((processes, "run_up"), (processes, "run_scheduler"), (node, "run_node"), (alone, "run_alone")):
        monkeypatch.setattr(module, name, recorder)
    return recorder


@pytest.mark.parametrize("command", ["up", "scheduler", "node"])
def test_a_process_that_serves_ends_with_the_exit_code_of_its_work(
    bare: RunCli, started: Started, command: str
) -> None:
    assert bare(command).code == 5
    assert len(started.settings) == 1


def test_where_a_fleet_listens_and_keeps_its_data_is_taken_from_the_command_line(
    bare: RunCli, started: Started
) -> None:
    bare("scheduler", "--host", "0.0.0.0", "--port", "0", "--data", "d", "--redis", "redis://store:6379/0")  # noqa: S104 - nothing listens
    [settings] = started.settings
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 0)  # noqa: S104 - as above
    assert settings.data.name == "d"
    assert settings.store.redis_url == "redis://store:6379/0"


def test_what_is_not_said_keeps_its_default(bare: RunCli, started: Started) -> None:
    bare("up")
    [settings] = started.settings
    assert (settings.server.host, settings.server.port, settings.store.redis_url) == ("127.0.0.1", 8000, "")
    assert started.more == [{"nodes": 1, "linger_s": None}]


def test_up_runs_as_many_nodes_as_it_is_told_and_may_end_by_itself(bare: RunCli, started: Started) -> None:
    bare("up", "--nodes", "16", "--linger", "2.5")
    assert started.more == [{"nodes": 16, "linger_s": 2.5}]


@pytest.mark.parametrize("count", ["0", "-1", "17"])
def test_a_number_of_nodes_that_makes_no_sense_starts_nothing(bare: RunCli, started: Started, count: str) -> None:
    ran = bare("up", "--nodes", count)
    assert (ran.code, ran.err) == (2, "mediafleet: --nodes goes from 1 to 16.\n")
    assert not started.settings


def test_a_node_knows_its_scheduler_its_name_and_what_it_offers(bare: RunCli, started: Started) -> None:
    words = ["--name", "studio", "--slots", "4", "--label", "fast", "--label", "upstairs"]
    bare("node", "--scheduler", "http://10.0.0.5:8000", *words)
    node = started.settings[0].node
    assert (node.scheduler, node.name, node.slots) == ("http://10.0.0.5:8000", "studio", 4)
    assert node.labels == ("fast", "upstairs")


def test_a_node_may_listen_instead_of_calling(bare: RunCli, started: Started) -> None:
    bare("node", "--listen", "127.0.0.1:9000")
    assert started.settings[0].node.listen == "127.0.0.1:9000"


def test_a_node_with_a_master_and_no_scheduler_brings_its_fleet_along(
    bare: RunCli, started: Started, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fleet: list[Settings] = []

    def run(settings: Settings) -> int:
        with_fleet.append(settings)
        return 0

    monkeypatch.setattr(alone, "run_alone", run)
    (workplace / "token").write_text("what-the-master-asks-for\n")
    words = ("--master", "https://studio.example/signalrhub")
    bare("node", *words, "--master-token-file", "token", "--api", "127.0.0.1:0")
    [settings] = with_fleet
    assert (settings.master.url, settings.master.token) == (words[1], "what-the-master-asks-for")
    assert settings.node.api == "127.0.0.1:0"
    assert settings.server.token == "", "that of the master is not ours"
    bare("node", "--api", "127.0.0.1:0")
    assert len(with_fleet) == 2
    bare("node", *words, "--scheduler", "http://10.0.0.5:8000")
    assert (len(with_fleet), started.settings[-1].master.url) == (2, words[1])
    # The usual address counts as well, where somebody names it.
    bare("node", *words, "--scheduler", "http://127.0.0.1:8000")
    assert (len(with_fleet), len(started.settings)) == (2, 2)


def test_a_node_that_is_called_needs_a_scheduler_for_its_masters_work(bare: RunCli, started: Started) -> None:
    words = ("node", "--listen", "127.0.0.1:9100", "--master", "https://studio.example/signalrhub")
    ran = bare(*words)
    assert ran.code != 0
    assert "name with --scheduler" in ran.err
    assert not started.settings
    assert bare(*words, "--scheduler", "http://10.0.0.5:8000").code == 5


@pytest.mark.parametrize("address", ["studio.example/signalrhub", "ftp://studio.example/hub"])
def test_a_master_without_an_address_is_refused_before_anything_starts(
    bare: RunCli, started: Started, address: str
) -> None:
    ran = bare("node", "--master", address)
    assert "master.url must be the address of a hub" in ran.err
    assert not started.settings


def test_flags_win_over_the_environment_and_the_environment_over_the_file(
    bare: RunCli, started: Started, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "mediafleet.toml").write_text('[node]\nname = "file"\nslots = 1\nlabels = ["file"]\n')
    monkeypatch.setenv("MEDIAFLEET_NODE__NAME", "environment")
    monkeypatch.setenv("MEDIAFLEET_NODE__SLOTS", "2")
    bare("node", "--slots", "3")
    node = started.settings[0].node
    assert (node.labels, node.name, node.slots) == (("file",), "environment", 3)


def test_a_token_file_is_what_clients_must_show(bare: RunCli, started: Started, workplace: Path) -> None:
    (workplace / "token").write_text("a-token-of-sufficient-length-000000\n")
    bare("up", "--token-file", "token")
    assert started.settings[0].server.token == "a-token-of-sufficient-length-000000"  # noqa: S105 - of this test


@pytest.mark.parametrize(("words", "level"), [(("--debug",), "debug"), ((), "info")])
def test_debug_also_logs_more(bare: RunCli, started: Started, words: tuple[str, ...], level: str) -> None:
    bare("scheduler", *words)
    assert started.settings[0].log.level == level


@pytest.mark.parametrize("command", ["up", "scheduler", "node"])
def test_settings_that_cannot_work_are_refused_before_anything_starts(
    bare: RunCli, started: Started, workplace: Path, command: str
) -> None:
    (workplace / "mediafleet.toml").write_text("[server]\nprot = 1\n")
    ran = bare(command)
    assert ran.code == 2
    assert "prot" in ran.err
    assert not started.settings


@pytest.mark.parametrize("command", ["up", "scheduler"])
def test_a_program_is_told_in_one_line_where_a_fleet_serves(bare: RunCli, started: Started, command: str) -> None:
    ran = bare(command, "--json", "--data", "d")
    assert ran.out.count("\n") == 1
    assert ran.json == {"url": "http://127.0.0.1:1", "data": str(Path.cwd() / "d"), "pid": os.getpid()}
    assert not bare(command).out


def test_only_a_token_that_was_just_made_is_told(bare: RunCli, started: Started) -> None:
    started.made_token = TOKEN
    assert bare("up", "--json").json["token"] == TOKEN


def test_a_program_gets_the_refusal_of_a_process_that_serves_in_one_line(bare: RunCli, started: Started) -> None:
    for words in (("--nodes", "0"), ("--prot", "1")):
        ran = bare("up", "--json", *words)
        assert (ran.code, ran.out.count("\n")) == (2, 1)
        assert ran.json["error"]["code"] == "invalid-request"


def test_a_node_offers_no_store_and_no_port_and_says_that_they_have_no_effect(bare: RunCli, started: Started) -> None:
    shown = bare("node", "--help").out
    assert all(f"--{option} " not in shown for option in ("host", "port", "redis"))
    ran = bare("node", "--redis", "redis://store", "--port", "1")
    assert [line for line in ran.err.splitlines() if "has no effect" in line] == [
        "note: --port has no effect on a node, which has neither a port nor a store.",
        "note: --redis has no effect on a node, which has neither a port nor a store.",
    ]
    assert started.settings[0].store.redis_url == ""
    assert "no effect" not in bare("node").err


def refusing(_: Settings, **__: Any) -> int:
    raise DataDirectoryInUse("Another fleet serves this data directory.")


def interrupted(_: Settings, **__: Any) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("end", "code"), [(refusing, 1), (interrupted, 130)])
def test_a_process_that_cannot_go_on_ends_without_a_stack_trace(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch, end: Callable[[Settings], int], code: int
) -> None:
    monkeypatch.setattr(processes, "run_scheduler", end)
    ran = bare("scheduler")
    assert ran.code == code
    assert "Traceback" not in ran.err


def test_a_command_that_starts_a_fleet_can_read_that_another_one_was_faster(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "run_up", refusing)
    assert bare("up", "--json").json["error"]["code"] == DataDirectoryInUse.code


@pytest.mark.parametrize("command", ["scheduler", "node"])
@pytest.mark.parametrize(("words", "form"), [(("--log-format", "console"), "console"), ((), "auto")])
def test_the_form_of_log_lines_can_be_chosen_on_the_command_line(
    bare: RunCli, started: Started, command: str, words: tuple[str, ...], form: str
) -> None:
    bare(command, *words)
    assert started.settings[0].log.format == form
