"""Builds whole FFmpeg command lines. Pure: a plan goes in, a list of words comes out, nothing is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.kinds.transcode import chain, picture
from mediafleet.kinds.transcode.demuxers import input_options, url
from mediafleet.kinds.transcode.hardware_facts import HARDWARE_ENCODERS, quality_words, rate_words
from mediafleet.kinds.transcode.losses import is_loudness_tag, keeps_fields
from mediafleet.kinds.transcode.options import option_words
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of, options_of, preset_of, scale_of
from mediafleet.kinds.transcode.streams import Action, OutputPlan, StreamPlan, changes_loudness, output_channels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.presets import VideoPreset

# Each line carries its level, by which errors are told from talk. Errors alone would not do: FFmpeg mentions some
# losses only as information, such as the Dolby Vision data of a picture.
_QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")
_PROGRESS = ("-progress", "pipe:1", "-stats_period", "0.5")
_OPUS_LAYOUTS = {"5.1(side)": "5.1", "5.0(side)": "5.0", "quad(side)": "quad"}
"""libopus refuses layouts whose rear speakers are called side speakers."""
_STALE_TAGS = ("BPS", "NUMBER_OF_BYTES", "NUMBER_OF_FRAMES", "_STATISTICS_")
"""Matroska tags that describe the source's packets and would be lies about the output's."""
_STALE_WHEN_ENCODED = frozenset({"ALPHA_MODE", "alpha_mode"})
_COVER_ENDINGS = {"mjpeg": "jpg", "png": "png"}
_MIME = {"jpg": "jpeg", "png": "png"}
_BITS, _DEEP_BITS = 8, 10
_QUEUE_PACKETS = "4096"
"""Packets of a stream that may wait for a sparse one before FFmpeg gives up; its own default is too few."""


def quiet_options(*, tells_progress: bool = True) -> list[str]:
    """Return the options that each FFmpeg of ours begins with."""
    return [*_QUIET, *(_PROGRESS if tells_progress else ()), "-y"]


def encode_arguments(
    plan: OutputPlan, params: TranscodeParams, *, source: Path, output: Path, info: MediaInfo
) -> list[str]:
    """Return the arguments of the transcode, without the program's own path.

    Args:
        plan: What becomes of each stream.
        params: Quality, size and sound.
        source: Absolute path of the input.
        output: Absolute path to write; an existing file is replaced.
        info: What the probe found in the source.
    """
    # By number, one by one: left to itself FFmpeg takes one stream of each type.
    maps = [word for stream in plan.tracks for word in ("-map", f"0:{stream.source.index}")]
    per_stream = [
        word
        for number, stream in enumerate(plan.tracks)
        for word in (
            *stream_options(number, stream, params, muxer=plan.container.muxer),
            *_subtitle_marks(number, stream),
        )
    ]
    return [
        *quiet_options(),
        *_device_options(plan),
        *(("-hwaccel", "auto") if params.hardware_decode else ()),
        *input_options(info.format),
        "-i",
        url(source),
        *maps,
        "-map_metadata",
        "0",
        "-map_chapters",
        "0" if plan.container.chapters else "-1",
        *per_stream,
        *ending_options(plan, output),
    ]


def _subtitle_marks(number: int, stream: StreamPlan) -> list[str]:
    # Where several are there and none is the default FFmpeg would make the first one so, and players show it unasked.
    marks = "+".join(stream.source.disposition) or "0"
    return [f"-disposition:{number}", marks] if stream.source.type == "subtitle" else []


def draw(arguments: Sequence[str], plan: OutputPlan, shown: str) -> list[str]:
    """Return the arguments of a transcode with one more filter behind those of each picture that is encoded."""
    words = list(arguments)
    for number, stream in enumerate(plan.tracks):
        if not _is_encoded_picture(stream):
            continue
        if (option := f"-filter:{number}") in words:
            words[words.index(option) + 1] += f",{shown}"
        else:
            words[-1:-1] = [option, shown]
    return words


def ending_options(plan: OutputPlan, output: Path) -> list[str]:
    """Return what stands after all streams of an output: attached covers, the muxer with its options, the file."""
    return [
        *_cover_options(plan, output.parent),
        "-max_muxing_queue_size",
        _QUEUE_PACKETS,
        *_muxer_options(plan),
        "-f",
        plan.container.muxer,
        url(output),
    ]


def first_pass_arguments(
    plan: OutputPlan, params: TranscodeParams, *, source: Path, log: Path, info: MediaInfo
) -> list[str]:
    """Return the arguments that look at the pictures once, for an encode that is given the same `log`.

    Args:
        plan: What becomes of each stream.
        params: As for the encode.
        source: Absolute path of the input.
        log: Absolute path that the names of what is learnt begin with.
        info: What the probe found in the source.
    """
    # Each has the number that it has in the output, by which FFmpeg names what it learnt: so the others are mapped as well.
    maps = [word for stream in plan.tracks for word in ("-map", f"0:{stream.source.index}")]
    words: list[str] = []
    for number, stream in enumerate(plan.tracks):
        is_picture = _is_encoded_picture(stream)
        words += _video_options(number, stream, params) if is_picture else ()
        words += [f"-c:{number}", stream.encoder if is_picture else "copy"]
    return [
        *quiet_options(),
        *input_options(info.format),
        "-i",
        url(source),
        *maps,
        *words,
        *pass_options(plan, log, which=1),
        *("-f", "null", "-"),
    ]


def pass_options(plan: OutputPlan, log: Path, *, which: int) -> list[str]:
    """Return what makes an encode one of two passes."""
    numbers = [number for number, stream in enumerate(plan.tracks) if _is_encoded_picture(stream)]
    return [word for n in numbers for word in (f"-pass:{n}", str(which), f"-passlogfile:{n}", str(log))]


def _is_encoded_picture(stream: StreamPlan) -> bool:
    return stream.action is Action.ENCODE and stream.source.type == "video"


def cover_arguments(plan: OutputPlan, *, source: Path, folder: Path, info: MediaInfo) -> list[str]:
    """Return the arguments that take the plan's cover art out of a source, into files that `encode_arguments` attaches."""
    outputs: list[str] = []
    for stream in plan.covers:
        outputs += ["-map", f"0:{stream.source.index}", "-c", "copy", "-frames:v", "1", "-f", "image2", "-update", "1"]
        outputs.append(url(cover_path(stream, folder)))
    return [*quiet_options(tells_progress=False), *input_options(info.format), "-i", url(source), *outputs]


def cover_path(stream: StreamPlan, folder: Path) -> Path:
    """Return the file that a picture of cover art is taken out into."""
    return folder / f"cover-{stream.source.index}.{_COVER_ENDINGS[stream.codec]}"


def _cover_options(plan: OutputPlan, folder: Path) -> list[str]:
    words: list[str] = []
    # FFmpeg numbers attached files behind all mapped streams.
    for number, stream in enumerate(plan.covers, start=len(plan.tracks)):
        ending = _COVER_ENDINGS[stream.codec]
        words += [
            "-attach",
            url(cover_path(stream, folder)),
            f"-metadata:s:{number}",
            f"mimetype=image/{_MIME[ending]}",
        ]
        words += [f"-metadata:s:{number}", f"filename=cover.{ending}"]
    return words


def check_arguments(path: Path, *, muxer: str) -> list[str]:
    """Return the arguments that decode every picture and sound of a file and stop at the first error."""
    demuxer = {"mp4": "mov", "ipod": "mov", "webm": "matroska", "opus": "ogg"}.get(muxer, muxer)
    return [
        *_QUIET,
        *_PROGRESS,
        # FFmpeg would else report an error, leave the frame out and end with code 0.
        "-xerror",
        *input_options(demuxer),
        "-i",
        url(path),
        "-map",
        "0:v?",
        "-map",
        "0:a?",
        # Every decoded frame passes: the null muxer must not complain about two frames in one tick.
        "-fps_mode",
        "vfr",
        "-enc_time_base:v",
        "1/1000000",
        "-f",
        "null",
        "-",
    ]


def trial_arguments(encoder: str, *, is_video: bool) -> list[str]:
    """Return the arguments of a two-frame encode that shows whether an encoder works on this machine."""
    if not is_video:
        return [
            *_QUIET[:3],
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "sine=d=0.1:r=48000",
            "-c:a",
            encoder,
            "-f",
            "null",
            "-",
        ]
    # VAAPI takes pictures only from the memory of the card; NVENC, QSV and VideoToolbox upload by themselves.
    upload = ["-vf", "format=nv12,hwupload"] if encoder.endswith("_vaapi") else []
    device = ["-init_hw_device", "vaapi=va", "-filter_hw_device", "va"] if upload else []
    # Hardware encoders refuse very small pictures, and would look as if they did not work.
    picture_source = ["-f", "lavfi", "-i", "color=gray:s=256x256:r=25"]
    return [
        *_QUIET[:3],
        "-loglevel",
        "error",
        *device,
        *picture_source,
        *upload,
        "-frames:v",
        "2",
        "-c:v",
        encoder,
        "-f",
        "null",
        "-",
    ]


def shown_command(program: str, arguments: Sequence[str], *, names: dict[str, str]) -> list[str]:
    """Return a command line for people: workspace paths replaced by the names that the user knows."""
    return [program, *(names.get(word, word) for word in arguments)]


def stream_options(number: int, stream: StreamPlan, params: TranscodeParams, *, muxer: str) -> list[str]:
    """Return the options of one output stream.

    Args:
        number: Its place in the output.
        stream: What becomes of it.
        params: Quality, size and sound.
        muxer: FFmpeg's, of the file that the user gets in the end.
    """
    words = [f"-c:{number}", stream.encoder]
    if stream.action is Action.ENCODE and stream.source.type == "video":
        words += _video_options(number, stream, params)
    elif stream.action is Action.ENCODE:
        words += _audio_options(number, stream, params)
    if stream.codec == "hevc" and muxer in {"mp4", "mov"} and not stream.source.is_cover:
        words += [f"-tag:{number}", "hvc1"]  # Apple's players know HEVC by no other name.
    return [*words, *_tag_options(number, stream, params)]


def _tag_options(number: int, stream: StreamPlan, params: TranscodeParams) -> list[str]:
    """Return what sets right the tags of a stream, which FFmpeg takes over as they are."""
    source, words = stream.source, list[str]()
    is_louder = source.type == "audio" and stream.action is Action.ENCODE and changes_loudness(params)
    for tag in source.metadata:
        is_stale = stream.action is Action.ENCODE and tag in _STALE_WHEN_ENCODED
        if is_stale or tag.startswith(_STALE_TAGS) or (is_louder and is_loudness_tag(tag)):
            words += [f"-metadata:s:{number}", f"{tag}="]
    # As which FFmpeg reads the title that it wrote into an MP4 file, but does not write it again.
    if source.title and "name" in source.metadata and "title" not in source.metadata:
        words += [f"-metadata:s:{number}", f"title={source.title}"]
    if source.type == "attachment":
        # Matroska's muxer gives up without them.
        missing = {"mimetype": "application/octet-stream", "filename": f"attachment-{source.index}"}
        words += [
            word
            for tag, value in missing.items()
            if tag not in source.metadata
            for word in (f"-metadata:s:{number}", f"{tag}={value}")
        ]
    return words


def _video_options(number: int, stream: StreamPlan, params: TranscodeParams) -> list[str]:
    preset = preset_of(params).video
    if preset is None:
        return []
    if stream.encoder in HARDWARE_ENCODERS:
        return _hardware_options(number, stream, params, preset)
    source, filters = stream.source, filters_of(params)
    words = [word for name, value in preset.speeds[params.speed] for word in (f"-{name}:{number}", value)]
    words += _quality(number, params, preset)
    words += option_words(options_of(params), preset.facts, stream=number)
    form = picture.pixel_format(chain.arriving(source, filters), preset.bit_depths)
    words += [f"-pix_fmt:{number}", form]
    if shown := chain.picture_chain(source, filters, scale_of(params), preset) or picture.field_filter(source, form):
        words += [f"-filter:{number}", shown]
    if keeps_fields(source, params):
        pairs = [*preset.facts.woven, *(preset.facts.bottom_first if source.bottom_first else ())]
        words += [word for name, value in pairs for word in (f"-{name}:{number}", value)]
    # In the source's own ticks no frame's time is rounded, so a variable frame rate stays as it is.
    tick = chain.ticks(source, filters)
    words += [f"-fps_mode:{number}", "vfr", f"-enc_time_base:{number}", f"{tick.numerator}/{tick.denominator}"]
    return words


def _hardware_options(number: int, stream: StreamPlan, params: TranscodeParams, preset: VideoPreset) -> list[str]:
    """Return what `_video_options` does, for an encoder that is hardware."""
    facts, filters = HARDWARE_ENCODERS[stream.encoder], filters_of(params)
    crf = preset.crf if params.crf is None else params.crf
    rate = params.bitrate
    pairs = [*facts.speeds.get(params.speed, ())]
    pairs += rate_words(stream.encoder, rate) if rate else quality_words(stream.encoder, preset.encoder, crf)
    if every := options_of(params).keyframe_every:
        pairs.append(("g", str(every)))
    words = [word for name, value in pairs for word in (f"-{name}:{number}", value)]
    is_deep = picture.pixel_format(chain.arriving(stream.source, filters), preset.bit_depths).endswith("10le")
    form = facts.formats.get(_DEEP_BITS if is_deep else _BITS, facts.formats[_BITS])
    shown = [
        chain.picture_chain(stream.source, filters, scale_of(params), preset)
        or picture.field_filter(stream.source, form)
    ]
    if facts.uploads:
        shown.append(f"format={form},hwupload")
    else:
        words += [f"-pix_fmt:{number}", form]
    if joined := ",".join(part for part in shown if part):
        words += [f"-filter:{number}", joined]
    tick = chain.ticks(stream.source, filters)
    return [*words, f"-fps_mode:{number}", "vfr", f"-enc_time_base:{number}", f"{tick.numerator}/{tick.denominator}"]


def _device_options(plan: OutputPlan) -> list[str]:
    """Return what opens the card that takes pictures only from its own memory."""
    uploads = any(one.encoder in HARDWARE_ENCODERS and HARDWARE_ENCODERS[one.encoder].uploads for one in plan.streams)
    return ["-init_hw_device", "vaapi=va", "-filter_hw_device", "va"] if uploads else []


def _quality(number: int, params: TranscodeParams, preset: VideoPreset) -> list[str]:
    if params.bitrate:
        pairs = [*preset.facts.always, ("b", str(params.bitrate))]
    else:
        crf = preset.crf if params.crf is None else params.crf
        pairs = [*preset.facts.always, ("crf", str(crf)), *preset.facts.with_crf]
    return [word for name, value in pairs for word in (f"-{name}:{number}", value)]


def _audio_options(number: int, stream: StreamPlan, params: TranscodeParams) -> list[str]:
    audio, options = preset_of(params).audio, params.audio
    channels = output_channels(stream.source, stream.codec, params)
    words: list[str] = []
    # FLAC loses nothing, so its size is what the sound needs.
    if stream.codec != "flac":
        each = audio.channel_bps if audio is not None else 80_000
        words += [f"-b:{number}", str(options.bitrate or each * channels)]
    if channels != stream.source.channels:
        words += [f"-ac:{number}", str(channels)]
    loudness = options.loudness or (audio.loudness if audio else None)
    filters = chain.sound_chain(loudness, options.gain_db, sample_rate=stream.source.sample_rate)
    if stream.codec == "mp3":
        # MP3 knows no time: a gap in the source must become silence, or all after it comes too early.
        filters.append("aresample=async=1:min_hard_comp=0.02")
    elif channels == stream.source.channels and stream.codec == "opus" and stream.source.layout in _OPUS_LAYOUTS:
        filters.append(f"aformat=channel_layouts={_OPUS_LAYOUTS[stream.source.layout]}")
    return [*words, f"-filter:{number}", ",".join(filters)] if filters else words


def _muxer_options(plan: OutputPlan) -> list[str]:
    if plan.container.muxer in {"mp4", "mov", "ipod"}:
        # `unofficial` lets copied Dolby Vision keep its configuration record.
        # The index goes to the front, so that a browser can play the file before it has all of it.
        return ["-movflags", "+faststart", "-strict", "unofficial"]
    if plan.container.muxer in {"matroska", "webm"}:
        # Else the first track of each type would be marked so where none is, and a forced subtitle be shown by itself.
        return ["-default_mode", "passthrough"]
    return []
