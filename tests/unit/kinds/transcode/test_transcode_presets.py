"""Presets of users' own: files in a folder, checked as strictly as params, spelled out where a job is accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.params import TranscodeParams, options_of, preset_of
from mediafleet.kinds.transcode.preset_files import list_presets, read_preset, resolve_preset
from mediafleet.kinds.transcode.presets import Preset, load_presets
from mediafleet.ops.settings import Settings, TranscodeSettings

TELEVISION = """
summary = "For the old television."
goal = "compatible"
container = "mkv"
containers = ["mkv", "mp4"]
[video]
encoder = "libx264"
crf = 19
options = { tune = "film", level = "4.1" }
limits = { longest_side = 1920 }
[audio]
codec = "ac3"
channel_bps = 96_000
loudness = { target = -23 }
[filters]
deinterlace = "frame"
"""


def write(folder: Path, text: str, name: str = "tv") -> None:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_preset_of_ones_own_says_as_much_as_a_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, TELEVISION)
    preset = read_preset("tv", tmp_path)
    assert preset.video is not None
    assert preset.audio is not None
    assert (preset.video.codec, preset.audio.encoder, preset.filters.deinterlace) == ("h264", "ac3", "frame")


def test_a_preset_may_begin_with_a_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, 'based_on = "phone"\nsummary = "Smaller."\n[video.limits]\nlongest_side = 640\n')
    phone, mine = load_presets()["phone"].video, read_preset("tv", tmp_path).video
    assert phone is not None
    assert mine is not None
    assert (mine.limits.longest_side, mine.limits.fps) == (640, 30)
    assert mine.options == phone.options


def test_an_accepted_job_carries_what_its_preset_says(tmp_path: Path) -> None:
    """A node reads these params, has no such file, and the file is gone by then."""
    write(tmp_path, TELEVISION)
    kinds = KindRegistry([KIND], Settings(transcode=TranscodeSettings(presets=str(tmp_path))))
    accepted = kinds.check_params("transcode", {"preset": "tv", "video": {"level": "4.0"}})
    (tmp_path / "tv.toml").unlink()
    there = msgspec.convert(accepted, TranscodeParams)
    assert preset_of(there).summary == "For the old television."
    assert options_of(there).tune == "film"
    assert options_of(there).level == "4.0"
    assert KindRegistry([KIND]).check_params("transcode", accepted) == accepted, "checking again changes nothing"


def test_a_recipe_may_come_with_the_job_and_is_held_to_the_same_rules() -> None:
    recipe = msgspec.to_builtins(load_presets()["vp9"])
    assert KindRegistry([KIND]).check_params("transcode", {"preset": "mine", "recipe": recipe})["recipe"] == recipe
    recipe["video"]["encoder"] = "libx264 -f tee"
    with pytest.raises(InvalidParams, match="encoder"):
        KindRegistry([KIND]).check_params("transcode", {"preset": "mine", "recipe": recipe})


def test_a_built_in_preset_is_not_written_into_every_job(tmp_path: Path) -> None:
    assert resolve_preset({"preset": "h264"}, tmp_path) == {"preset": "h264"}
    assert resolve_preset({"crf": 20}, tmp_path) == {"crf": 20}
    assert resolve_preset({"preset": 7}, tmp_path) == {"preset": 7}, "left for the params' own check"


def test_a_file_that_was_changed_counts_from_then_on(tmp_path: Path) -> None:
    write(tmp_path, TELEVISION)
    assert read_preset("tv", tmp_path).summary == "For the old television."
    write(tmp_path, TELEVISION.replace("old", "new"))
    os.utime(tmp_path / "tv.toml", ns=(1, 1))
    assert read_preset("tv", tmp_path).summary == "For the new television."


@pytest.mark.parametrize(
    "name", ["../tv", "/etc/passwd", "tv.toml", "TV", "", "a\0b", "tv\n", "x" * 41, "..", "tv/../tv"]
)
def test_a_name_is_never_a_path(name: str, tmp_path: Path) -> None:
    write(tmp_path, TELEVISION)
    (tmp_path / "inner").mkdir()
    with pytest.raises(InvalidParams, match="There is no preset"):
        read_preset(name, tmp_path / "inner" if name == "../tv" else tmp_path)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(tmp_path: Path) -> None:
    write(tmp_path, TELEVISION, "television")
    with pytest.raises(InvalidParams, match="did you mean 'television'"):
        read_preset("televison", tmp_path)
    # Not offered: it would be refused itself.
    write(tmp_path, "wrong = 1", "televised")
    with pytest.raises(InvalidParams, match=r"phone, television\.$"):
        read_preset("q", tmp_path)
    with pytest.raises(InvalidParams, match="archive, phone"):
        read_preset("q", tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("summary = ", "is not TOML"),
        ('based_on = "h265"', "must be one of h264, hevc"),
        ("based_on = 3", "must be one of"),
        ('based_on = "h264"\n[video]\ncrf = 52', "'crf' of libx264 goes from 0 to 51"),
        ('based_on = "h264"\n[video]\nbit_depths = [10]', "'bit_depths' of libx264 are 8"),
        ('based_on = "h264"\n[video]\nspeeds = { medium = "x" }', "unknown field `speeds`"),
        ('based_on = "h264"\n[video.options]\ntune = "film:stats=/tmp/x"', "tune"),
        ('based_on = "h264"\n[video.options]\nfilm_grain = 3', "libx264 takes no 'film_grain'"),
        ('based_on = "h264"\n[audio]\ncodec = "pcm_s16le"', "Invalid enum value"),
        ('based_on = "h264"\n[audio]\nmost_channels = 2', "'keep' leaves sound as it is"),
        ('based_on = "h264"\n[audio]\nkeep = ["aac,copy"]', "regex"),
        ('based_on = "h264"\ncontainer = "webm"', "a webm file cannot hold h264"),
        ('based_on = "phone"\ncontainer = "mkv"', "'containers' leaves out 'mkv'"),
        ('based_on = "mp3"\n[filters]\nfps = 3', "no picture that 'filters' could change"),
        ('summary = "x"\ngoal = "small"\n[video]\nencoder = "libx264"\ncrf = 3', "needs a 'container'"),
        ('summary = "x"\ngoal = "fun"', "goal"),
        ('based_on = "h264"\narguments = ["-f", "tee"]', "unknown field `arguments`"),
        ('based_on = "h264"\n[filters]\nmovie = "/etc/passwd"', "unknown field `movie`"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_name(text: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(InvalidParams, match=r"The preset file tv\.toml") as refusal:
        read_preset("tv", tmp_path)
    assert words in refusal.value.message
    assert str(tmp_path) not in refusal.value.message, "a client elsewhere learns nothing of this machine's folders"


def test_a_file_that_is_no_preset_at_all_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "#" * 70_000)
    with pytest.raises(InvalidParams, match="70000 bytes"):
        read_preset("tv", tmp_path)
    (tmp_path / "tv.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidParams, match="not TOML"):
        read_preset("tv", tmp_path)


def test_a_list_has_what_can_be_used_and_why_the_rest_cannot(tmp_path: Path) -> None:
    write(tmp_path, TELEVISION)
    write(tmp_path, TELEVISION, "h264")
    write(tmp_path, TELEVISION, "Big TV")
    write(tmp_path, "x", "broken")
    (tmp_path / "notes.txt").write_text("x")
    own = {one.name: one for one in list_presets(tmp_path)[len(load_presets()) :]}
    assert [name for name, one in own.items() if one.preset] == ["tv"]
    assert "is built in" in own["h264"].problem
    assert "1 to 40" in own["Big TV"].problem
    assert "not TOML" in own["broken"].problem
    assert len(own) == 4


def test_the_built_in_ones_are_listed_where_there_is_no_folder(tmp_path: Path) -> None:
    assert [one.name for one in list_presets(tmp_path / "missing")] == [*load_presets()]


@pytest.mark.parametrize("name", load_presets())
def test_a_preset_that_was_written_down_reads_the_same(name: str) -> None:
    preset = load_presets()[name]
    plain: dict[str, Any] = msgspec.to_builtins(preset)
    assert msgspec.convert(plain, Preset) == preset
