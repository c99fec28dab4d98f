"""Folders of Vosk's and sherpa-onnx's models: what kind they are, and which languages they know by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mediafleet.domain.errors import ConfigError
from mediafleet.engines.models.folders import need_files
from mediafleet.engines.models.notes import NOTE_NAME, read_note

_VOSK_NAME = re.compile(r"vosk-model-(?:small-)?([a-z]{2})(?![a-z])")
_RENAMED = {"cn": "zh", "kz": "kk", "vn": "vi", "ua": "uk", "korean": "ko"}
"""What names of models call a language, to ISO 639-1."""
_SHERPA_NAME = re.compile(r"(?:zipformer|sense-?voice)((?:-[a-z0-9]+)*)")
_TWO_LETTERS = 2


class SherpaSort(StrEnum):
    """What a model of sherpa-onnx is."""

    ZIPFORMER = "streaming-zipformer"
    SENSE_VOICE = "sense-voice"


@dataclass(frozen=True)
class SherpaModel:
    """What must be known of a folder to load it."""

    sort: SherpaSort
    languages: tuple[str, ...]
    """ISO 639-1, sorted, at least one."""
    files: dict[str, Path]
    """As the library's arguments name them."""


def look_at_vosk(folder: Path) -> tuple[str, ...]:
    """Return the languages of a model, ISO 639-1.

    Raises:
        ConfigError: It lacks files, or nobody says its language.
    """
    # Older models have all their files beside each other.
    if not (folder / "final.mdl").is_file():
        need_files(folder, ["am/final.mdl", "conf/mfcc.conf"])
    found = _VOSK_NAME.search(folder.name.lower())
    return _languages_of(folder, [found[1]] if found else [], like="vosk-model-en-us-0.22")


def look_at_sherpa(folder: Path) -> SherpaModel:
    """Tell what a folder holds: a streaming Zipformer or SenseVoice.

    Raises:
        ConfigError: It lacks files, is something else, or nobody says its languages.
    """
    name = folder.name.lower().replace("_", "-")
    need_files(folder, ["tokens.txt"])
    files = {"tokens": folder / "tokens.txt"}
    if "sense-voice" in name or "sensevoice" in name:
        sort = SherpaSort.SENSE_VOICE
        files["model"] = _pick(folder, "model", prefers_int8=True)
    elif "streaming" in name and "zipformer" in name:
        sort = SherpaSort.ZIPFORMER
        # The decoder is small, and loses more by 8 bits than it gains.
        files |= {
            part: _pick(folder, part, prefers_int8=part != "decoder") for part in ("encoder", "decoder", "joiner")
        }
    else:
        raise ConfigError(
            f"{folder} is called neither as a streaming Zipformer nor as SenseVoice; give it the name that it was released under."
        )
    found = _SHERPA_NAME.search(name)
    words = found[1].split("-") if found else []
    codes = [word for word in words if word in _RENAMED or (len(word) == _TWO_LETTERS and word.isalpha())]
    return SherpaModel(sort, _languages_of(folder, codes, like="sherpa-onnx-streaming-zipformer-en-2023-06-26"), files)


def _pick(folder: Path, part: str, *, prefers_int8: bool) -> Path:
    """Return the file of a part, as `encoder-epoch-99-avg-1.int8.onnx`; with several, the one in 8 bits or one that is not."""
    found = sorted(folder.glob(f"{part}*.onnx"))
    if not found:
        raise ConfigError(f"{folder} lacks {part}*.onnx.")
    return min(found, key=lambda path: (".int8." in path.name) is not prefers_int8)


def _languages_of(folder: Path, codes: list[str], *, like: str) -> tuple[str, ...]:
    languages = read_note(folder).languages or tuple(_RENAMED.get(code, code) for code in codes)
    if not languages:
        raise ConfigError(
            f'Nobody says which language {folder} is for: call it as {like}, or write languages = ["en"] into {NOTE_NAME} in it.'
        )
    return tuple(sorted(set(languages)))
