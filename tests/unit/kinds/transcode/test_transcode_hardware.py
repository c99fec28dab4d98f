"""Hardware is used where it works and loses nothing more; where it does not, the result says why or the task goes elsewhere.

No machine of the tests has a card: a pretended FFmpeg fails as real ones do, with their words.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from transcode_samples import media, params, sound, video

from mediafleet.domain.errors import CapabilityMissing, InvalidParams, OutputRejected, TaskFailed, UnreadableMedia
from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.arguments import encode_arguments
from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS
from mediafleet.kinds.transcode.hardware import Hardware, with_encoder
from mediafleet.kinds.transcode.hardware_facts import (
    HARDWARE_ENCODERS,
    any_hardware,
    encoders_of,
    families,
    quality_words,
    rate_words,
)
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.plan import needed_encoders
from mediafleet.kinds.transcode.program import Ffmpeg
from mediafleet.kinds.transcode.streams import OutputPlan, plan_output
from mediafleet.testing import LocalDetectContext

FULL = "[h264_nvenc @ 0x5601aa5b40c0] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)"
ALSO_FULL = (
    "[h264_nvenc @ 0x5601aa5b40c0] [error] OpenEncodeSessionEx failed: incompatible client key (21): (no details)"
)
NO_DRIVER = "[h264_nvenc @ 0x55d0] [error] Cannot load libcuda.so.1"
NO_DISPLAY = "[AVHWDeviceContext @ 0x55d0] [error] No VA display found for device /dev/dri/renderD128."
NO_SESSION = "[h264_qsv @ 0x55d0] [error] Error creating a MFX session: -9."
SIZE = {"width": 1280, "height": 720}


def pretender(folder: Path, *, working: str, words: str = NO_DRIVER) -> Ffmpeg:
    """An FFmpeg of which one encoder works, and the others fail with these words."""
    path = folder / f"pretender-{working}.py"
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if {working!r} in sys.argv: sys.exit(0)\n"
        f"print({words!r}, file=sys.stderr)\nsys.exit(1)\n"
    )
    path.chmod(0o755)
    return Ffmpeg(str(path), "9.0")


def made(wanted: TranscodeParams, info: MediaInfo | None = None) -> OutputPlan:
    return plan_output(info or media(video(), sound()), wanted, name="film.mp4")


async def choose(
    folder: Path, working: str, wanted: TranscodeParams, info: MediaInfo | None = None, words: str = NO_DRIVER
) -> OutputPlan:
    ffmpeg = pretender(folder, working=working, words=words)
    return await Hardware().choose(LocalDetectContext(folder), ffmpeg, made(wanted, info), wanted)


def encoder(plan: OutputPlan) -> str:
    return plan.streams[0].encoder


async def test_hardware_is_not_tried_unless_it_is_asked_for(tmp_path: Path) -> None:
    context, wanted = LocalDetectContext(tmp_path), params()
    chosen = await Hardware().choose(context, pretender(tmp_path, working="h264_nvenc"), made(wanted), wanted)
    assert (encoder(chosen), context.started) == ("libx264", [])


@pytest.mark.parametrize("policy", ["prefer", "require"])
@pytest.mark.parametrize("working", ["h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf", "h264_videotoolbox"])
async def test_the_first_encoder_that_works_is_taken_and_the_plan_says_so(
    tmp_path: Path, working: str, policy: str
) -> None:
    chosen = await choose(tmp_path, working, params(hardware=policy))
    assert (encoder(chosen), chosen.notes) == (working, ())
    assert chosen.streams[0].why == f"{working} works on this node"
    assert chosen.streams[1].encoder == "copy"


@pytest.mark.parametrize("words", [NO_DRIVER, NO_DISPLAY, NO_SESSION, FULL])
async def test_without_working_hardware_the_cpu_does_it_and_the_result_says_why(tmp_path: Path, words: str) -> None:
    chosen = await choose(tmp_path, "nothing", params(hardware="prefer"), words=words)
    assert encoder(chosen) == "libx264"
    [note] = chosen.notes
    assert note.startswith("The picture was encoded on the CPU by libx264, not on hardware: h264_nvenc failed")
    assert words.rpartition("] ")[2].rstrip(".") in note
    assert chosen.warnings == (note,)


async def test_a_task_that_requires_hardware_goes_elsewhere_at_no_try(tmp_path: Path) -> None:
    with pytest.raises(CapabilityMissing) as caught:
        await choose(tmp_path, "nothing", params(hardware="require"))
    assert caught.value.capability == "encoder:h264@hardware"


@pytest.mark.parametrize(
    ("changes", "wanted", "said"),
    [
        ({"extras": ("captions",)}, {}, "lose the captions"),
        ({"interlaced": True}, {}, "mix its fields"),
        ({"colour": (2, 1, 1, 1)}, {}, "full range"),
        ({"width": 128, "height": 96}, {}, "128x96"),
        ({}, {"video": {"tune": "film"}}, "options are those of libx264"),
    ],
)
async def test_hardware_that_would_do_worse_is_left_alone(
    tmp_path: Path, changes: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    info = media(video(**changes))
    chosen = await choose(tmp_path, "h264_nvenc", params(hardware="prefer", **wanted), info)
    assert encoder(chosen) == "libx264"
    assert said in chosen.notes[0]
    with pytest.raises(InvalidParams, match=said):
        await choose(tmp_path, "h264_nvenc", params(hardware="require", **wanted), info)


async def test_a_trial_is_remembered_for_a_while(tmp_path: Path) -> None:
    now = [0.0]
    hardware, context, wanted = Hardware(lambda: now[0]), LocalDetectContext(tmp_path), params(hardware="prefer")
    ffmpeg = pretender(tmp_path, working="h264_nvenc")
    for _ in range(3):
        await hardware.choose(context, ffmpeg, made(wanted), wanted)
    assert len(context.started) == 1
    now[0] = 601.0
    await hardware.choose(context, ffmpeg, made(wanted), wanted)
    assert len(context.started) == 2


@pytest.mark.parametrize("words", [FULL, ALSO_FULL])
async def test_a_card_that_takes_no_further_session_is_given_no_more_for_a_while(tmp_path: Path, words: str) -> None:
    now = [0.0]
    hardware, context, wanted = Hardware(lambda: now[0]), LocalDetectContext(tmp_path), params(hardware="prefer")
    ffmpeg, error = pretender(tmp_path, working="h264_nvenc"), failures.explain(words, name="film.mp4", exit_code=1)
    first = await hardware.choose(context, ffmpeg, made(wanted), wanted)
    with hardware.session(first):
        fallen = hardware.fall_back(first, wanted, error)
        assert encoder(fallen) == "libx264"
        assert "its sessions are all taken" in fallen.notes[0]
        second = await hardware.choose(context, ffmpeg, made(wanted), wanted)
        assert "h264_nvenc takes 1 sessions at present" in second.notes[0]
    third = await hardware.choose(context, ffmpeg, made(wanted), wanted)
    assert encoder(third) == "h264_nvenc"
    with hardware.session(third):
        now[0] = 301.0
        assert encoder(await hardware.choose(context, ffmpeg, made(wanted), wanted)) == "h264_nvenc"


async def test_a_full_card_sends_a_task_that_requires_it_elsewhere() -> None:
    wanted = params(hardware="require")
    plan = with_encoder(made(wanted), "h264_nvenc", why="")
    with pytest.raises(CapabilityMissing):
        Hardware().fall_back(plan, wanted, failures.explain(FULL, name="film.mp4", exit_code=1))


def test_other_failures_of_hardware_end_on_the_cpu_only_where_that_is_allowed() -> None:
    error = TaskFailed("FFmpeg could not start the encoder.")
    plan = with_encoder(made(params()), "hevc_vaapi", why="")
    fallen = Hardware().fall_back(plan, params(hardware="prefer"), error)
    assert "hevc_vaapi failed: FFmpeg could not start the encoder" in fallen.notes[0]
    with pytest.raises(TaskFailed):
        Hardware().fall_back(plan, params(hardware="require"), error)


@pytest.mark.parametrize("error", [UnreadableMedia("It is broken."), OutputRejected("It is short.")])
def test_an_error_that_hardware_had_no_part_in_stays_the_error(error: Exception) -> None:
    assert isinstance(error, (UnreadableMedia, OutputRejected))
    with pytest.raises(type(error)):
        Hardware().fall_back(made(params()), params(hardware="prefer"), error)


def test_requirements_name_the_cpu_unless_hardware_is_required() -> None:
    assert needed_encoders(params(hardware="prefer")) == ("aac", "libx264")
    assert needed_encoders(params(hardware="require")) == ("aac", "h264@hardware")
    assert needed_encoders(params(dry_run=True)) == ()


def test_a_format_that_no_hardware_encodes_cannot_be_required() -> None:
    with pytest.raises(msgspec.ValidationError, match="no hardware encoder of vp9 is known"):
        params(preset="vp9", hardware="require")


def command(name: str, **wanted: Any) -> str:
    asked = params(hardware="require", **wanted)
    plan = with_encoder(made(asked), name, why="")
    info = media(video(), sound())
    return " ".join(encode_arguments(plan, asked, source=Path("/w/in"), output=Path("/w/out"), info=info))


def test_each_encoder_is_told_quality_and_speed_in_its_own_words() -> None:
    assert "-c:0 h264_nvenc -preset:0 p5 -rc:0 vbr -cq:0 23 -b:0 0 -pix_fmt:0 nv12" in command("h264_nvenc", crf=23)
    assert "-c:0 h264_qsv -preset:0 veryfast -global_quality:0 23" in command("h264_qsv", crf=23, speed="fastest")
    assert "-c:0 h264_amf -quality:0 balanced -rc:0 cqp -qp_i:0 23 -qp_p:0 23" in command("h264_amf", crf=23)
    assert "-q:0 55 -pix_fmt:0 nv12" in command("h264_videotoolbox", crf=23)
    assert "-rc:0 vbr -b:0 4000000" in command("h264_nvenc", bitrate=4_000_000)


def test_vaapi_gets_its_pictures_uploaded_behind_all_filters() -> None:
    said = command("h264_vaapi", scale={"height": 480})
    assert said.index("-init_hw_device vaapi=va -filter_hw_device va") < said.index("-i file:")
    assert "flags=bicubic,setsar=1/1,format=nv12,hwupload" in said
    assert "-pix_fmt:0" not in said


def test_decoding_on_hardware_is_asked_for_before_the_input() -> None:
    asked = params(hardware_decode=True)
    words = encode_arguments(
        made(asked), asked, source=Path("/w/in"), output=Path("/w/out"), info=media(video(), sound())
    )
    assert words.index("-hwaccel") < words.index("-i")
    assert "-hwaccel" not in command("h264_nvenc")


@pytest.mark.parametrize("name", HARDWARE_ENCODERS)
def test_every_quality_of_the_cpu_is_one_of_the_hardware(name: str) -> None:
    facts = HARDWARE_ENCODERS[name]
    software = next(word for word, one in VIDEO_ENCODERS.items() if one.codec == facts.codec)
    for crf in range(VIDEO_ENCODERS[software].crf_max + 1):
        numbers = [int(value) for _, value in quality_words(name, software, crf) if value.isdigit() and value != "0"]
        assert numbers
        assert all(1 <= number <= facts.most for number in numbers)
    assert any(value == "1000" for _, value in rate_words(name, 1000))


def test_every_encoder_belongs_to_one_family_and_one_format() -> None:
    assert {name for group in families().values() for name in group} == set(HARDWARE_ENCODERS)
    assert [encoders_of(codec)[0] for codec in ("h264", "hevc", "av1")] == ["h264_nvenc", "hevc_nvenc", "av1_nvenc"]
    assert any_hardware("av1") == "av1@hardware"
