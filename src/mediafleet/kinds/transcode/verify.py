"""Compares what was made with what it was made of. Pure: two inventories and a plan go in, faults come out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode import chain, failures
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of, preset_of, scale_of
from mediafleet.kinds.transcode.streams import Action, OutputPlan, StreamPlan, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

_DURATION_SHARE = 0.001
"""A length may differ by a thousandth, or by one frame if that is more."""
_CLOCK_S = 0.002
"""Rounding of Matroska's millisecond clock at both ends."""
_START_S = 0.050
"""How far a stream may shift against the others: sound encoders put up to 50 ms of priming before it."""
_ASPECT_SHARE = 0.01
_MP3_PADDING_S = 0.08
"""MP3 has no exact length: up to two frames of padding of the slowest rate."""
_SHORT_SHARE, _SHORT_S = 0.01, 0.5
"""A file that ends earlier than its header claims by more than both is incomplete."""
_WHOLE_S = 0.1
"""By so much a header may be off: the last packet may have no length, and clocks are rounded."""
_EXACT_FORMATS = frozenset({"matroska", "wav", "flac"})
"""Of these, whose headers count to the end of the last packet. ISO files hide an end by edit lists; ASF leaves out the last picture."""
_HONEST_FORMATS = frozenset({"mov", "matroska", "avi", "asf", "wav", "flac"})
"""Formats whose header states the true length; for others FFmpeg estimates it from the bit rate."""


def missing_s(info: MediaInfo) -> float:
    """Return by how many seconds a source ends before its header says; 0.0 where its format's header tells no true length."""
    if info.declared_s is None or not _HONEST_FORMATS & set(info.format.split(",")):
        return 0.0
    # To the last packet of all: subtitles may end long after picture and sound, and Matroska counts them into its length,
    # which it counts from 0 and not from the first picture.
    begin = info.start_s if "matroska" in info.format.split(",") else 0.0
    return max(0.0, info.declared_s - info.measured_s - begin)


def find_truncation(info: MediaInfo, *, name: str) -> str:
    """Return a sentence if so much of a source's end is missing that nobody would take it for whole, else ""."""
    missing = missing_s(info)
    if info.declared_s is None or missing <= max(_SHORT_S, _SHORT_SHARE * info.declared_s):
        return ""
    claim = f"its header announces {info.declared_s:.1f} s but only {info.measured_s:.1f} s are there"
    return f"{failures.show_name(name)} is incomplete: {claim}; copy or download it again."


def describe_damage(info: MediaInfo, errors: Sequence[str], *, lost: int) -> list[str]:
    """Return sentences on what of a source was not there or not to be decoded; none where all was.

    Args:
        info: Its inventory.
        errors: What FFmpeg complained of while it decoded all of it.
        lost: Pictures that it has and the result has not.
    """
    said: list[str] = []
    if complaints := list(errors) or [info.broken] * bool(info.broken):
        more = f", and {len(complaints) - 1} more such complaints" if len(complaints) > 1 else ""
        said.append(
            f"The source is damaged ({complaints[0].rstrip('.')}{more}); what was lost is concealed or left out."
        )
    is_exact = info.broken or not _EXACT_FORMATS.isdisjoint(info.format.split(","))
    if (missing := missing_s(info)) > _WHOLE_S + _longest_frame_s(info) and is_exact:
        said.append(
            f"The last {missing:.2f} s of the {info.declared_s:.2f} s that the source's header announces are missing."
        )
    # Counted only beside an error: fewer pictures are also what a reduced rate makes, and that was told before.
    if lost > 0 and errors:
        said.append(f"{lost} of {count_pictures(info)} pictures could not be decoded.")
    return said


def _longest_frame_s(info: MediaInfo) -> float:
    return max((stream.frame_s for stream in info.streams if stream.is_timed), default=0.0)


def count_pictures(info: MediaInfo) -> int:
    """Return how many pictures a file's video tracks have together."""
    return sum(stream.packets for stream in info.streams if stream.type == "video" and not stream.is_cover)


def check_source(info: MediaInfo, *, name: str) -> None:
    """Refuse a source of which no whole output can be made.

    Raises:
        UnreadableMedia: It is encrypted, or ends before its header says.
    """
    # Marks of DRM are not enough: a file may carry them and still be in the clear.
    if info.encrypted and not any(stream.decodable for stream in info.streams if stream.type == "video"):
        raise failures.encrypted(name)
    if sentence := find_truncation(info, name=name):
        raise UnreadableMedia(sentence, detail=info.broken)


def find_faults(source: MediaInfo, output: MediaInfo, plan: OutputPlan, params: TranscodeParams) -> list[str]:
    """Return what is wrong with an output, each as half a sentence; nothing where it is as planned.

    Args:
        source: Inventory of the input.
        output: Inventory of what was made.
        plan: What should have become of each stream.
        params: What the user asked for.
    """
    faults = [f"its reading stops early ({output.broken})"] if output.broken else []
    waiting: dict[tuple[str, bool], list[StreamInfo]] = defaultdict(list)
    for stream in output.streams:
        waiting[_slot(stream)].append(stream)
    # A stream that is alone has nothing it could be shifted against.
    shift_s = output.start_s - source.start_s if sum(planned.source.is_timed for planned in plan.streams) > 1 else None
    for planned in plan.streams:
        made = waiting[_slot(planned.source)]
        if made:
            faults += _compare(planned, made.pop(0), params, shift_s=shift_s)
        else:
            faults.append(f"{describe(planned.source)} is missing")
    if plan.container.chapters and output.chapters < source.chapters:
        faults.append(f"{source.chapters - output.chapters} of {source.chapters} chapters are missing")
    return faults


def _slot(stream: StreamInfo) -> tuple[str, bool]:
    # Matroska and MP4 put cover art after the tracks, so the order holds only among equals.
    return stream.type, stream.is_cover


def _compare(planned: StreamPlan, made: StreamInfo, params: TranscodeParams, *, shift_s: float | None) -> list[str]:
    who, faults = describe(planned.source), list[str]()
    if made.codec != planned.codec and planned.source.type != "attachment":
        faults.append(f"{who} became {made.codec or 'unknown'} and not {planned.codec}")
    if planned.source.is_timed:
        faults += _compare_times(planned, made, who=who, shift_s=shift_s)
    if planned.source.type == "video" and not planned.source.is_cover:
        faults += _compare_pictures(planned, made, params, who=who)
    return faults


def _compare_times(planned: StreamPlan, made: StreamInfo, *, who: str, shift_s: float | None) -> list[str]:
    source = planned.source
    if source.length_s is None or source.start_s is None:
        return []
    if made.length_s is None or made.start_s is None:
        return [f"{who} is empty"]
    frame_s = max(source.frame_s, made.frame_s)
    if source.type == "audio" and made.codec != source.codec:
        frame_s = max(frame_s, source.lead_s)
    padding = _MP3_PADDING_S if planned.codec == "mp3" else 0.0
    # An encoder begins with a frame of its own and fills the last one up; where sound begins late, MP4 shows both.
    own_s = made.frame_s if source.type == "audio" and planned.action is Action.ENCODE else 0.0
    allowed = max(frame_s, _DURATION_SHARE * source.length_s) + _CLOCK_S + padding
    faults: list[str] = []
    # Longer is as wrong as shorter: sound that goes on past its picture was stretched or doubled.
    if abs(made.length_s - source.length_s) > allowed + own_s:
        faults.append(f"{who} lasts {made.length_s:.3f} s and not {source.length_s:.3f} s")
    # Against the others only: a muxer may move the whole file to nought, and nobody hears or sees that.
    moved = 0.0 if shift_s is None else made.start_s - source.start_s - shift_s
    if abs(moved) > max(frame_s, _START_S) + _CLOCK_S + padding:
        faults.append(f"{who} starts {abs(moved):.3f} s too {'late' if moved > 0 else 'early'}")
    return faults


def _compare_pictures(planned: StreamPlan, made: StreamInfo, params: TranscodeParams, *, who: str) -> list[str]:
    source = planned.source
    # Expected by the same function that chose it, so a change of the rule cannot fail every job here.
    if planned.action is Action.ENCODE:
        video = preset_of(params).video
        least = video.smallest if video else 2
        size, sar = chain.output_shape(source, filters_of(params), scale_of(params), least=least)
    else:
        size, sar = source.shown_size, source.shown_sar
    faults: list[str] = []
    if made.shown_size != size:
        faults.append(f"{who} is {_by(made.shown_size)} and not {_by(size)}")
    wanted, got = _aspect(size, sar), _aspect(made.shown_size, made.shown_sar)
    if abs(got - wanted) > _ASPECT_SHARE * wanted:
        faults.append(f"{who} has the aspect ratio {got:.3f} and not {wanted:.3f}")
    if (planned.action is Action.COPY and made.rotation != source.rotation) or (
        planned.action is Action.ENCODE and made.rotation
    ):
        faults.append(f"{who} is turned by {made.rotation}°")
    return faults


def _aspect(size: tuple[int, int], sar: tuple[int, int]) -> float:
    return size[0] * sar[0] / (size[1] * sar[1]) if size[1] and sar[1] else 0.0


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
