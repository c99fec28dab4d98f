"""What somebody might try to slip past a transcode: options, filters and names. Each is refused, or does no harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.attacks import FILTERS, NAMES, OPTIONS, PACKED

from mediafleet.domain.errors import InvalidParams, InvalidRequest
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND, arguments
from mediafleet.kinds.transcode.demuxers import ALLOWED, url
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.options import VideoOptions
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.presets import load_presets
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.node.guard import choose_guard
from mediafleet.node.processes import Launcher
from mediafleet.testing import LocalTaskContext, make_clip

KINDS = KindRegistry([KIND])
FILM = MediaInfo(
    "mov",
    (
        StreamInfo(
            0, "video", "h264", width=640, height=360, fps=25, pix_fmt="yuv420p", packets=9, length_s=1, decodable=True
        ),
        StreamInfo(1, "audio", "dts", channels=2, sample_rate=48_000, packets=9, length_s=1),
    ),
)
TOUCHES_FILES = ("/etc/", "/tmp/", "http", "=file", "textfile", "stats", "csv", "log", "report", "movie")


def refuse(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        KINDS.check_params("transcode", params)


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_an_option_that_is_not_on_the_list_has_no_name(option: str, value: str) -> None:
    """Not beside the others, not among the encoder's, not in a preset, with or without its dash."""
    for name in (option, option.lstrip("-"), option.replace("-", "_").strip("_")):
        refuse({name: value})
        refuse({"video": {name: value}})
        refuse({"audio": {name: value}})
        refuse({"filters": {name: value}})
        recipe = msgspec.to_builtins(load_presets()["h264"])
        refuse({"recipe": {**recipe, name: value}})
        refuse({"recipe": {**recipe, "video": {**recipe["video"], name: value}}})


@pytest.mark.parametrize("text", [*FILTERS, *PACKED, *(f"{option} {value}" for option, value in OPTIONS)])
def test_no_field_takes_words_of_its_own(text: str) -> None:
    """Wherever a text can stand at all, it must be one of a closed list."""
    refuse({"container": text})
    refuse({"speed": text})
    refuse({"crf": text})
    refuse({"preset": text})
    refuse({"audio": {"codec": text}})
    refuse({"audio": {"loudness": {"target": text}}})
    for option in msgspec.structs.fields(VideoOptions):
        refuse({"video": {option.name: text}})
    wishes: tuple[dict[str, Any], ...] = (
        {"deinterlace": text},
        {"flip": text},
        {"rotate": text},
        {"fps": text},
        {"crop": text},
        {"crop": {"left": text}},
        {"denoise": {"spatial": text}},
        {"tone_map": {"method": text}},
        {"pad": {"colour": text}},
        {text: {}},
    )
    for filters in wishes:
        refuse({"filters": filters})


@pytest.mark.parametrize("text", [*FILTERS, *PACKED])
def test_a_recipe_that_comes_with_a_job_holds_no_words_either(text: str) -> None:
    recipe = msgspec.to_builtins(load_presets()["phone"])
    for part, field in (("video", "encoder"), ("audio", "codec")):
        refuse({"recipe": {**recipe, part: {**recipe[part], field: text}}})
    refuse({"recipe": {**recipe, "container": text}})
    refuse({"recipe": {**recipe, "audio": {"codec": "aac", "keep": [text]}}})
    refuse({"recipe": {**recipe, "video": {**recipe["video"], "options": {"tune": text}}}})


def command(params: TranscodeParams) -> list[str]:
    plan = plan_output(FILM, params, name="film.mp4")
    return arguments.encode_arguments(plan, params, source=Path("/w/in.mp4"), output=Path("/w/out.mkv"), info=FILM)


AMOUNTS = st.floats(-1.5, 1.5) | st.floats()
FILTER_WISHES: dict[str, st.SearchStrategy[Any]] = {
    "deinterlace": st.sampled_from(["frame", "field"]) | st.text(max_size=20),
    "fps": st.integers(1, 240) | st.floats(),
    "crop": st.dictionaries(st.sampled_from(["left", "top", "x;movie=/etc/passwd"]), st.integers(0, 200)),
    "sharpen": st.builds(dict[str, Any], amount=AMOUNTS),
    "pad": st.builds(dict[str, Any], colour=st.just("white") | st.text(max_size=9), width=st.just(900)),
}
OPTION_WISHES = st.dictionaries(
    st.sampled_from([field.name for field in msgspec.structs.fields(VideoOptions)]),
    st.integers(1, 8) | st.text(max_size=20) | st.sampled_from(["film", "grain", "4.1", "main"]),
    max_size=2,
)


def wish_for(preset: str, parts: dict[str, Any]) -> dict[str, Any]:
    return {"preset": preset, **parts}


WISHES = st.builds(
    wish_for,
    st.sampled_from(sorted(load_presets())),
    st.one_of(
        st.builds(dict[str, Any], filters=st.fixed_dictionaries({}, optional=FILTER_WISHES)),
        st.builds(dict[str, Any], video=OPTION_WISHES),
        st.builds(dict[str, Any], audio=st.builds(dict[str, Any], gain_db=AMOUNTS)),
    ),
)


@given(WISHES)
def test_what_is_accepted_makes_one_command_with_one_input_and_one_output(wish: dict[str, Any]) -> None:
    """Whatever is asked for: the words that FFmpeg sees are ours, and no number is one that it reads otherwise."""
    try:
        params = msgspec.convert(KINDS.check_params("transcode", wish), TranscodeParams)
        words = command(params)
    except InvalidParams:
        return
    assert words.count("-i") == 1
    assert [word for word in words if word.startswith("file:")] == ["file:/w/in.mp4", "file:/w/out.mkv"]
    assert not any(mark in word for word in words[words.index("-i") + 2 : -1] for mark in TOUCHES_FILES)
    assert not {"nan", "inf", "-inf"} & {part for word in words for part in word.replace(":", "=").split("=")}


@pytest.mark.parametrize("preset", sorted(load_presets()))
def test_every_input_is_one_local_file_of_a_listed_format(preset: str) -> None:
    """Before each `-i`: only the protocol `file`, only listed formats; standard input is closed to it."""
    checks = arguments.check_arguments(Path("/w/out.mkv"), muxer="matroska")
    for words in (command(msgspec.convert({"preset": preset}, TranscodeParams)), checks):
        before = words[: words.index("-i")]
        assert "-nostdin" in before
        assert before[before.index("-protocol_whitelist") + 1] == "file"
        assert before[before.index("-format_whitelist") + 1] == ALLOWED
        assert words[words.index("-i") + 1].startswith("file:/")


def test_no_listed_format_reads_other_files_or_devices() -> None:
    harmful = {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "imf",
        "image2",
        "lavfi",
        "tty",
        "applehttp",
        "x11grab",
        "tedcaptions",
    }
    assert not harmful & set(ALLOWED.split(","))


@pytest.mark.parametrize("path", ["in.mp4", "../in.mp4", "-i", "http://x/y", "pipe:0", "concat:a|b", "", "/a\0b"])
def test_only_absolute_paths_become_words(path: str) -> None:
    with pytest.raises(InvalidRequest, match="no absolute path"):
        url(Path(path))


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_hostile_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    source = await make_clip(tmp_path / "plain.mp4", seconds=0.2, sound=False)
    hostile = tmp_path / "in" / name
    hostile.parent.mkdir()
    hostile.hardlink_to(source)
    params = KINDS.check_params("transcode", {"preset": "copy", "container": "mkv"})
    context = LocalTaskContext.for_file(hostile, folder=tmp_path / "work", params=params)
    await KIND.handlers["transcode"](context)
    (made,) = context.published.values()
    assert made.parent == context.outputs
    assert made.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["in", "plain.mp4", "work"], "nothing was written elsewhere"


async def test_ffmpeg_hears_nothing_of_the_nodes_environment(tmp_path: Path) -> None:
    """FFREPORT would make it write a log wherever it says; a proxy would be used; a datadir would be read."""
    report = tmp_path / "report.log"
    environ = {"PATH": os.environ["PATH"], "FFREPORT": f"file={report}", "http_proxy": "http://192.0.2.1"}
    launcher = Launcher(choose_guard(), environment=environ, grace_s=1)
    async with launcher.children(tmp_path) as children:
        child = await children.start([find_ffmpeg().path, *arguments.trial_arguments("libx264", is_video=True)])
        assert await child.wait() == 0
    assert not report.exists()
