"""`mediafleet presets`, and presets of one's own in `mediafleet transcode`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli._params import spell_out_preset
from mediafleet.domain.errors import InvalidRequest
from mediafleet.kinds.transcode.presets import load_presets
from mediafleet.ops.settings import Settings, TranscodeSettings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDIAFLEET_TRANSCODE__PRESETS", str(tmp_path / "presets"))
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def test_presets_are_listed_without_a_fleet(cli: RunCli, folder: Path) -> None:
    ran = cli("presets")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert [line.split()[0] for line in lines[1 : 1 + len(load_presets())]] == [*load_presets()]
    assert lines[-1] == f"Presets of your own go into {folder}, one TOML file each."


def test_ones_own_are_among_them_and_one_that_cannot_be_used_is_told(cli: RunCli, folder: Path) -> None:
    (folder / "tv.toml").write_text('based_on = "h264"\nsummary = "For the television."\n')
    assert "For the television." in cli("presets").out.splitlines()[-1]
    (folder / "bad.toml").write_text("based_on = 3")
    ran = cli("presets", "--json")
    assert ran.code == 1
    assert [(one["name"], bool(one["problem"])) for one in ran.json[-2:]] == [("bad", True), ("tv", False)]
    assert "bad.toml" in ran.err


@pytest.mark.parametrize("name", load_presets())
def test_a_preset_is_shown_as_the_file_that_would_make_it(name: str, cli: RunCli, folder: Path) -> None:
    (folder / "mine.toml").write_text(cli("presets", name).out)
    assert cli("presets", "mine", "--json").json["recipe"] == cli("presets", name, "--json").json["recipe"]
    assert tomllib.loads(cli("presets", name).out)["summary"] == load_presets()[name].summary


def test_a_preset_that_is_not_there_is_answered_with_the_nearest(cli: RunCli, folder: Path) -> None:
    ran = cli("presets", "h265")
    assert ran.code == 2
    assert "did you mean 'h264'?" in ran.err


def test_a_transcode_takes_its_preset_along(
    cli: RunCli, scheduler: FakeScheduler, folder: Path, tmp_path: Path
) -> None:
    """The fleet may be elsewhere, and have no such file."""
    (folder / "tv.toml").write_text('based_on = "h264"\ncontainer = "mov"\n')
    (tmp_path / "film.mkv").write_bytes(b"film")
    cli("transcode", str(tmp_path / "film.mkv"), "--preset", "tv", "--out", str(tmp_path / "done"))
    (sent,) = scheduler.submissions
    assert sent.params["recipe"]["container"] == "mov"


def test_a_preset_that_cannot_be_used_stops_a_transcode_before_it_begins(tmp_path: Path) -> None:
    settings = Settings(transcode=TranscodeSettings(presets=str(tmp_path)))
    (tmp_path / "tv.toml").write_text("x")
    with pytest.raises(InvalidRequest, match="not TOML"):
        spell_out_preset({"preset": "tv"}, settings)
    with pytest.raises(InvalidRequest, match="There is no preset"):
        spell_out_preset({"preset": "nope"}, settings)
