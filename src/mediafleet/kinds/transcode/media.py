"""What is known of a media file: records only."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

_PQ, _HLG = 16, 18
_FULL_RANGE = 2
_QUARTER = 90


class StreamInfo(msgspec.Struct, frozen=True):
    """One stream, as its header says and as its packets were found."""

    index: int
    type: str
    """`video`, `audio`, `subtitle`, `data`, `attachment` or `unknown`."""
    codec: str = ""
    """FFmpeg's name of the format; empty where no decoder is known."""
    tag: str = ""
    """Four characters by which an ISO file names the format."""
    language: str = ""
    title: str = ""
    disposition: tuple[str, ...] = ()
    time_base: tuple[int, int] = (1, 1000)
    """Seconds of one tick, as numerator and denominator."""
    declared_s: float | None = None
    """Length that the header claims."""
    start_s: float | None = None
    """When the first packet that is shown starts, on the file's own clock."""
    length_s: float | None = None
    """From the start of the first to the end of the last packet that is shown; None where there is none."""
    frame_s: float = 0.0
    """Length of one frame: the longer of average and last."""
    lead_s: float = 0.0
    """Length of the first packet, of which a decoder of sound may make nothing but its own start."""
    packets: int = 0
    """Packets that are shown; those that an edit list hides are not counted."""
    metadata: tuple[str, ...] = ()
    """Names of the stream's tags."""
    width: int = 0
    height: int = 0
    sar: tuple[int, int] = (1, 1)
    """Shape of one pixel, width to height."""
    rotation: int = 0
    """Degrees by which players turn the picture, a multiple of 90 where the file is sane."""
    fps: float = 0.0
    pix_fmt: str = ""
    bit_depth: int = 8
    colours_lines: bool = False
    """Whether each line of pixels has colours of its own, as in 4:2:2, 4:1:1 and 4:4:4, and not every other."""
    colour: tuple[int, int, int, int] = (0, 2, 2, 2)
    """Range, primaries, transfer and matrix by the numbers of ITU-T H.273 (range: 1 limited, 2 full)."""
    dolby_vision: bool = False
    hdr10_plus: bool = False
    interlaced: bool = False
    """Whether its pictures are woven of two fields."""
    bottom_first: bool = False
    """Whether the lower field of its first woven picture comes before the upper one."""
    variable: bool = False
    """Whether its pictures do not follow each other evenly."""
    mirrored: bool = False
    """Whether players show it as in a mirror, before they turn it."""
    mastering: tuple[float, ...] = ()
    """The display that it was graded on: x and y of red, green, blue and white, least and most candela a square metre."""
    light: tuple[int, ...] = ()
    """Brightest pixel and brightest picture's mean, candela a square metre; 0 for not known."""
    extras: tuple[str, ...] = ()
    """What its pictures carry beside themselves, of `losses.EXTRAS`."""
    decodable: bool = False
    """Whether a first picture could be decoded; only video is tried."""
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    profile: str = ""
    lossless: bool = False
    """Whether the format keeps sound exactly as it was given to it."""

    @property
    def is_cover(self) -> bool:
        """Whether this is a still picture that belongs to the whole file."""
        return self.type == "video" and "attached_pic" in self.disposition

    @property
    def is_timed(self) -> bool:
        """Whether its length is the length of something that plays."""
        return self.type in {"video", "audio"} and not self.is_cover

    @property
    def is_timecode(self) -> bool:
        """Whether this is a QuickTime timecode track."""
        return self.type == "data" and (self.tag == "tmcd" or "timecode" in self.metadata)

    @property
    def is_hdr(self) -> bool:
        """Whether brightness is coded as PQ or HLG."""
        return self.colour[2] in {_PQ, _HLG}

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and not 16."""
        return self.colour[0] == _FULL_RANGE or self.pix_fmt.startswith("yuvj")

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height after rotation, in stored pixels."""
        return (self.height, self.width) if self._lies else (self.width, self.height)

    @property
    def shown_sar(self) -> tuple[int, int]:
        """Shape of a pixel after rotation."""
        return (self.sar[1], self.sar[0]) if self._lies else self.sar

    @property
    def _lies(self) -> bool:
        # Not of any odd angle: by one that is no quarter FFmpeg turns the picture inside a frame of the same size.
        return self.rotation % 180 == _QUARTER


class MediaInfo(msgspec.Struct, frozen=True):
    """One media file."""

    format: str
    """FFmpeg's names of the demuxer, comma-separated."""
    streams: tuple[StreamInfo, ...]
    size: int = 0
    """Bytes."""
    declared_s: float | None = None
    start_s: float = 0.0
    chapters: int = 0
    metadata: dict[str, str] = {}
    broken: str = ""
    """Why reading stopped early; empty where it did not."""
    dolby_vision: bool = False
    """Whether the header configures Dolby Vision, whatever the first pictures show of it."""
    dolby_profile: int = 0
    """Profile of that; 0 where it is not known."""
    encrypted: bool = False
    """Whether the header carries marks of DRM."""

    @property
    def measured_s(self) -> float:
        """From the file's start to the end of its last packet, whatever the header claims."""
        return self._end_of(lambda _: True)

    @property
    def duration_s(self) -> float:
        """From the file's start to the end of picture and sound; subtitles may go on after that."""
        return self._end_of(lambda stream: stream.is_timed) or self.measured_s or self.declared_s or 0.0

    def _end_of(self, chosen: Callable[[StreamInfo], bool]) -> float:
        streams = filter(chosen, self.streams)
        ends = [s.start_s + s.length_s for s in streams if s.start_s is not None and s.length_s is not None]
        # Ends and not lengths: a sound track that starts late ends later than its length says.
        return max((end - self.start_s for end in ends), default=0.0)
