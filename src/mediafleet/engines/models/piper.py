"""Folders of Piper's voices: `<name>.onnx` with `<name>.onnx.json` beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mediafleet.domain.errors import ConfigError

_RENAMED = {"cmn": "zh", "nb": "no"}
"""What espeak-ng calls a language, to ISO 639-1 as recognizers say it."""
_PINYIN_MODEL = "g2pW/g2pw.onnx"


@dataclass(frozen=True)
class PiperFolder:
    """One voice; it may have several speakers."""

    path: Path
    """Its `.onnx`."""
    language: str
    """ISO 639-1."""


class _Espeak(msgspec.Struct, frozen=True):
    voice: str = ""


class _Language(msgspec.Struct, frozen=True):
    family: str = ""


class _Config(msgspec.Struct):
    espeak: _Espeak = _Espeak()
    language: _Language = _Language()
    phoneme_type: str = "espeak"


def look_at_voice(folder: Path) -> PiperFolder:
    """Tell what a folder holds.

    Raises:
        ConfigError: It has no voice, several, or one whose language nobody says.
    """
    found = [path for path in sorted(folder.glob("*.onnx")) if path.with_name(f"{path.name}.json").is_file()]
    if len(found) != 1:
        raise ConfigError(
            f"{folder} must have one voice, as NAME.onnx and NAME.onnx.json, and has {len(found) or 'none'}."
        )
    path = found[0]
    about = path.with_name(f"{path.name}.json")
    try:
        config = msgspec.json.decode(about.read_bytes(), type=_Config)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{about} cannot be read: {error}.") from error
    name = (config.language.family or config.espeak.voice.partition("-")[0]).lower()
    language = _RENAMED.get(name, name)
    if not language:
        raise ConfigError(f"{about} names no language.")
    if config.phoneme_type == "pinyin" and not (folder / _PINYIN_MODEL).is_file():
        raise ConfigError(f"{folder} lacks {_PINYIN_MODEL}, which the library would download.")
    return PiperFolder(path, language)
