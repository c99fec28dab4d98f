"""What each hardware encoder takes, as data, by FFmpeg's own documentation; which of them work is tried, never read here."""

from __future__ import annotations

import msgspec

from mediafleet.kinds.transcode.encoder_facts import STATIC, VIDEO_ENCODERS, Speed, Words

_NAMES: tuple[Speed, ...] = ("fastest", "fast", "medium", "slow", "slowest")
_QP_MOST = 51
_AV1_MOST = 255
"""AV1 counts quantizers to 255; encoders that take them as they are want that scale."""


class HardwareEncoder(msgspec.Struct, frozen=True):
    """One encoder on a graphics card or a media engine."""

    codec: str
    family: str
    """As in the capability `hw:<family>`."""
    quality: Words
    """Constant quality; `{q}` stands for the number."""
    most: int = _QP_MOST
    """Worst number of its scale."""
    speeds: dict[Speed, Words] = {}
    formats: dict[int, str] = msgspec.field(default_factory=lambda: {8: "nv12"})
    """Bits → pixel format that it takes."""
    uploads: bool = False
    """Takes pictures only from the memory of the card."""
    rises: bool = False
    """Larger numbers are better."""
    bitrate: Words = (("b", "{b}"),)
    smallest: int = 160
    """Pixels of the shortest side that all generations of it take."""
    carries: frozenset[str] = STATIC


def _speeds(option: str, *words: str) -> dict[Speed, Words]:
    return {name: ((option, word),) for name, word in zip(_NAMES, words, strict=True)}


_DEEP = {8: "nv12", 10: "p010le"}
_NVENC = _speeds("preset", "p1", "p3", "p5", "p6", "p7")
_NVENC_QUALITY: Words = (("rc", "vbr"), ("cq", "{q}"), ("b", "0"))
_NVENC_RATE: Words = (("rc", "vbr"), ("b", "{b}"))
_QSV = _speeds("preset", "veryfast", "faster", "medium", "slow", "veryslow")
_QSV_QUALITY: Words = (("global_quality", "{q}"),)
_VAAPI_QUALITY: Words = (("rc_mode", "CQP"), ("global_quality", "{q}"))
_AMF = _speeds("quality", "speed", "speed", "balanced", "quality", "quality")
_AMF_QUALITY: Words = (("rc", "cqp"), ("qp_i", "{q}"), ("qp_p", "{q}"))


def _nvenc(codec: str, formats: dict[int, str], most: int = _QP_MOST) -> HardwareEncoder:
    return HardwareEncoder(codec, "cuda", _NVENC_QUALITY, most, _NVENC, formats, bitrate=_NVENC_RATE)


def _vaapi(codec: str, formats: dict[int, str], most: int = _QP_MOST) -> HardwareEncoder:
    # It knows no speeds that all drivers share.
    return HardwareEncoder(codec, "vaapi", _VAAPI_QUALITY, most, {}, formats, uploads=True)


def _apple(codec: str, formats: dict[int, str]) -> HardwareEncoder:
    return HardwareEncoder(codec, "videotoolbox", (("q", "{q}"),), 100, {}, formats, rises=True)


HARDWARE_ENCODERS = {
    "h264_nvenc": _nvenc("h264", {8: "nv12"}),
    "hevc_nvenc": _nvenc("hevc", _DEEP),
    "av1_nvenc": _nvenc("av1", _DEEP, 63),
    "h264_qsv": HardwareEncoder("h264", "qsv", _QSV_QUALITY, speeds=_QSV),
    "hevc_qsv": HardwareEncoder("hevc", "qsv", _QSV_QUALITY, speeds=_QSV, formats=_DEEP),
    "av1_qsv": HardwareEncoder("av1", "qsv", _QSV_QUALITY, speeds=_QSV, formats=_DEEP),
    "h264_vaapi": _vaapi("h264", {8: "nv12"}),
    "hevc_vaapi": _vaapi("hevc", _DEEP),
    "av1_vaapi": _vaapi("av1", _DEEP, _AV1_MOST),
    "h264_amf": HardwareEncoder("h264", "amf", _AMF_QUALITY, speeds=_AMF),
    "hevc_amf": HardwareEncoder("hevc", "amf", _AMF_QUALITY, speeds=_AMF, formats=_DEEP),
    "av1_amf": HardwareEncoder("av1", "amf", _AMF_QUALITY, _AV1_MOST, _AMF, _DEEP),
    "h264_videotoolbox": _apple("h264", {8: "nv12"}),
    "hevc_videotoolbox": _apple("hevc", _DEEP),
}
"""FFmpeg's name → what we know of it, the first of a format is tried first."""


def encoders_of(codec: str) -> tuple[str, ...]:
    """Return the hardware encoders of a format, in the order in which they are tried."""
    return tuple(name for name, facts in HARDWARE_ENCODERS.items() if facts.codec == codec)


def families() -> dict[str, tuple[str, ...]]:
    """Return kind of hardware → its encoders."""
    names = dict.fromkeys(facts.family for facts in HARDWARE_ENCODERS.values())
    return {family: tuple(n for n, facts in HARDWARE_ENCODERS.items() if facts.family == family) for family in names}


def any_hardware(codec: str) -> str:
    """Return the word behind `encoder:` of a node that encodes a format on any hardware."""
    return f"{codec}@hardware"


def quality_words(encoder: str, software: str, crf: int) -> Words:
    """Return how a hardware encoder is told a quality of the software encoder's scale."""
    facts = HARDWARE_ENCODERS[encoder]
    share = crf / VIDEO_ENCODERS[software].crf_max
    # At least 1: nought means "not given" to most of them.
    number = max(1, round((1 - share if facts.rises else share) * facts.most))
    return tuple((name, value.format(q=number)) for name, value in facts.quality)


def rate_words(encoder: str, bitrate: int) -> Words:
    """Return how a hardware encoder is told a bit rate."""
    return tuple((name, value.format(b=bitrate)) for name, value in HARDWARE_ENCODERS[encoder].bitrate)
