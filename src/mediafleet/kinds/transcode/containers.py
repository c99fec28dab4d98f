"""What each container can hold: a table of facts about formats, no decisions."""

from __future__ import annotations

import msgspec

_ISO_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "vvc"})
_ISO_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac", "mp2", "dts"})
_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le"})
_MP4_TAGS = frozenset(
    [
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "encoder",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "episode_sort",
        "season_number",
        "track",
        "disc",
        "location",
        "creation_time",
        "compilation",
        "media_type",
        "hd_video",
        "gapless_playback",
        "encoding_tool",
        "timecode",
        "handler_name",
    ]
)
_MOV_TAGS = frozenset(
    [
        "artist",
        "title",
        "album",
        "date",
        "encoder",
        "comment",
        "genre",
        "copyright",
        "location",
        "creation_time",
        "timecode",
        "handler_name",
    ]
)
_MOV_LETTERS = (
    "eng fra ger ita dut sve spa dan por nor heb jpn ara fin gre ice mlt tur chi urd hin tha kor lit pol hun est lav rus iri"
    " alb ron ces slk slv yid mac bul ukr bel uzb kaz aze arm geo mol kir tgk tuk mon pus kur kas snd tib nep san mar ben asm"
    " guj ori mal kan tam tel sin bur khm lao vie ind tgl may amh tir orm som swa kin run nya mlg epo wel baq cat lat que grn"
    " aym tat uig dzo jav"
)
_MOV_LANGUAGES = frozenset(_MOV_LETTERS.split())
"""QuickTime counts languages by a list of its own; FFmpeg knows these by their letters."""
_MP4_MARKS = frozenset(
    {"default", "dub", "comment", "forced", "hearing_impaired", "visual_impaired", "captions", "descriptions"}
)
_MKV_MARKS = frozenset({"default", "dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired"})
_ISO_LETTERS = 3
_PICTURES = frozenset({"mjpeg", "png", "bmp"})


class Container(msgspec.Struct, frozen=True):
    """One file format that we write."""

    name: str
    """Also the file name's ending."""
    muxer: str
    video: frozenset[str] = frozenset()
    audio: frozenset[str] = frozenset()
    subtitles: frozenset[str] = frozenset()
    text: str = ""
    """Subtitle format that text of other formats is converted to; empty where it holds no text."""
    covers: frozenset[str] = frozenset()
    """Image formats that may be attached as cover art."""
    attachments: bool = False
    attaches_covers: bool = False
    """Cover art lies among the attachments: FFmpeg must be handed it as a file."""
    chapters: bool = True
    anything: bool = False
    """Holds practically every format of video and audio, whatever the sets say."""
    audio_tracks: int = 1_000
    """Most sound tracks."""
    audio_encoder: tuple[str, str] | None = None
    """Codec and FFmpeg encoder to use where the preset's own sound format cannot be held."""

    tags: frozenset[str] | None = None
    """Names of the file's and the streams' tags that it keeps; None for all."""
    marks: frozenset[str] = frozenset()
    """Dispositions of streams that it keeps."""
    languages: frozenset[str] | None = None
    """Languages that it can say; None for all."""
    short_languages: bool = False
    """Keeps languages of three letters only."""
    titles: bool = True
    """Keeps titles of streams."""

    def says(self, language: str) -> bool:
        """Tell whether a stream's language can be stored."""
        if self.languages is not None:
            return language in self.languages
        return not self.short_languages or len(language) == _ISO_LETTERS

    def holds(self, kind: str, codec: str) -> bool:
        """Tell whether a stream of that type and codec can be stored unchanged."""
        if kind == "subtitle":
            return codec in self.subtitles
        if kind == "video":
            return self.anything or codec in self.video
        return kind == "audio" and (self.anything or codec in self.audio)


CONTAINERS = {
    container.name: container
    for container in (
        Container(
            "mp4",
            "mp4",
            _ISO_VIDEO,
            _ISO_AUDIO,
            frozenset({"mov_text", "dvd_subtitle"}),
            "mov_text",
            covers=_PICTURES,
            tags=_MP4_TAGS,
            marks=_MP4_MARKS,
            short_languages=True,
        ),
        Container(
            "mov",
            "mov",
            _ISO_VIDEO | {"prores", "dnxhd", "qtrle"},
            (_ISO_AUDIO - {"opus", "flac"}) | _PCM,
            frozenset({"mov_text"}),
            "mov_text",
            covers=_PICTURES,
            audio_encoder=("aac", "aac"),
            tags=_MOV_TAGS,
            marks=frozenset({"default"}),
            languages=_MOV_LANGUAGES,
        ),
        Container(
            "mkv",
            "matroska",
            subtitles=frozenset(
                {
                    "subrip",
                    "ass",
                    "ssa",
                    "webvtt",
                    "dvd_subtitle",
                    "hdmv_pgs_subtitle",
                    "dvb_subtitle",
                    "hdmv_text_subtitle",
                }
            ),
            text="subrip",
            covers=_PICTURES - {"bmp"},
            attachments=True,
            attaches_covers=True,
            anything=True,
            marks=_MKV_MARKS,
        ),
        Container(
            "webm",
            "webm",
            frozenset({"vp8", "vp9", "av1"}),
            frozenset({"opus", "vorbis"}),
            frozenset({"webvtt"}),
            "webvtt",
            audio_encoder=("opus", "libopus"),
            marks=frozenset({"default", "forced"}),
        ),
        Container(
            "m4a",
            "ipod",
            audio=frozenset({"aac", "alac", "ac3"}),
            covers=_PICTURES - {"bmp"},
            tags=_MP4_TAGS,
            marks=frozenset({"default"}),
            short_languages=True,
            titles=False,
        ),
        Container(
            "mp3",
            "mp3",
            audio=frozenset({"mp3"}),
            covers=_PICTURES - {"bmp"},
            audio_tracks=1,
            titles=False,
            languages=frozenset(),
        ),
        Container("opus", "opus", audio=frozenset({"opus"}), audio_tracks=1),
    )
}

TEXT_SUBTITLES = frozenset(
    {"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "microdvd", "hdmv_text_subtitle"}
)
"""Subtitle formats that are text and can be converted into one another."""

STYLED_SUBTITLES = frozenset({"ass", "ssa"})
"""Text formats whose fonts and positions are lost in any other."""

_OWN_CONTAINER = {"mov": "mp4", "mp4": "mp4", "matroska": "mkv", "webm": "webm", "mp3": "mp3"}


def same_container(demuxer: str, name: str) -> str:
    """Return the container of ours that a source comes in; `mkv`, which holds anything, for all others.

    Args:
        demuxer: FFmpeg's name of the source's format, for example `mov,mp4,m4a,3gp,3g2,mj2`.
        name: The source's file name, which tells MOV from MP4 and WebM from Matroska.
    """
    ending = name.rpartition(".")[2].lower()
    candidates = {_OWN_CONTAINER[part] for part in demuxer.split(",") if part in _OWN_CONTAINER}
    # The name only chooses among what the content allows: FFmpeg has one demuxer for MOV, MP4 and M4A.
    if ending in CONTAINERS and (ending in candidates or (candidates and ending in {"mov", "m4a"})):
        return ending
    return next((container for container in ("mp4", "mp3") if container in candidates), "mkv")
