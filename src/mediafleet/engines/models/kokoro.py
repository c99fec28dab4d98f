"""Folders of Kokoro: its network (`*.onnx`) and the file of its voices (`voices*.bin`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from mediafleet.domain.errors import ConfigError


@dataclass(frozen=True)
class Accent:
    """What the first letter of a voice's name means."""

    language: str
    """ISO 639-1."""
    accent: str
    """As espeak-ng calls it, which makes the phonemes."""


KOKORO_ACCENTS = {
    "a": Accent("en", "en-us"),
    "b": Accent("en", "en-gb"),
    "e": Accent("es", "es"),
    "f": Accent("fr", "fr-fr"),
    "h": Accent("hi", "hi"),
    "i": Accent("it", "it"),
    "p": Accent("pt", "pt-br"),
}
"""Without Japanese and Chinese: their phonemes are not those of espeak-ng."""


@dataclass(frozen=True)
class KokoroFolder:
    """What is in a folder."""

    network: Path
    voices: Path
    names: tuple[str, ...]
    """Of voices, as `af_heart`; those of languages above, American ones first."""

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1, sorted."""
        return tuple(sorted({KOKORO_ACCENTS[name[0]].language for name in self.names}))


def look_at_kokoro(folder: Path) -> KokoroFolder:
    """Tell what a folder holds.

    Raises:
        ConfigError: It lacks a file, or its voices are none that can be used.
    """
    # The one in 8 bits, where there are several.
    networks = sorted(folder.glob("*.onnx"), key=lambda path: ("int8" not in path.name, path.name))
    voices = sorted(folder.glob("voices*.bin"))
    if not networks or not voices:
        raise ConfigError(f"{folder} lacks {'voices*.bin' if networks else '*.onnx'}.")
    try:
        with ZipFile(voices[0]) as file:
            names = sorted(name.removesuffix(".npy") for name in file.namelist())
    except (OSError, BadZipFile) as error:
        raise ConfigError(f"{voices[0]} cannot be read: {error}.") from error
    usable = tuple(name for name in names if name[:1] in KOKORO_ACCENTS)
    if not usable:
        raise ConfigError(f"{voices[0]} has no voice of a language that can be spoken here.")
    return KokoroFolder(networks[0], voices[0], usable)
