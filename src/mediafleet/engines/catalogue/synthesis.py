"""What speaks, and where it is found."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter, find_package
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.models.folders import ModelFolders
from mediafleet.engines.models.kokoro import KOKORO_ACCENTS, look_at_kokoro
from mediafleet.engines.models.piper import look_at_voice
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

_ESPEAK_NAMES = {"zh": "cmn", "no": "nb"}
"""ISO 639-1 to what espeak-ng calls the language, where that differs."""
_LIBRARY_ENDS = (".so", ".dylib")


def espeak_name(language: str) -> str:
    """Return what espeak-ng calls a language."""
    return _ESPEAK_NAMES.get(language, language)


def is_espeak_library(place: str) -> bool:
    """Tell whether an offer of espeak-ng is the library of `espeakng-loader`, not the program."""
    return place.endswith(_LIBRARY_ENDS)


def _scout_espeak(_where: Where) -> Iterable[Offer]:
    program = shutil.which("espeak-ng")
    if program and (languages := _espeak_languages(program)):
        yield Offer("espeak-ng", Role.SYNTHESIZE, program, languages=languages)
    elif library := _find_espeak_library():
        # It cannot be asked without loading it.
        files = (library.parent / "espeak-ng-data" / "lang").rglob("*")
        languages = _short_names(path.name.partition("-")[0] for path in files if path.is_file())
        yield Offer("espeak-ng", Role.SYNTHESIZE, str(library), languages=languages)


def _find_espeak_library() -> Path | None:
    folder = find_package("espeakng_loader")
    places = [folder / f"libespeak-ng{end}" for end in _LIBRARY_ENDS] if folder else []
    return next((path for path in places if path.is_file()), None)


@lru_cache(maxsize=4)
def _espeak_languages(program: str) -> tuple[str, ...]:
    """Return the ISO 639-1 codes that a program speaks; none where it does not work."""
    try:
        # In a folder of its own: it asks a sound server that it does not need, which leaves folders behind.
        with tempfile.TemporaryDirectory() as folder:
            ran = subprocess.run(
                [program, "--voices"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
                env={"HOME": folder, "TMPDIR": folder},
            )
    except (OSError, subprocess.SubprocessError):
        return ()
    # The second column, as `en-gb-scotland`, after a line of headings.
    return _short_names(
        line.split()[1].partition("-")[0] for line in ran.stdout.splitlines()[1:] if len(line.split()) > 1
    )


def _short_names(names: Iterable[str]) -> tuple[str, ...]:
    known = set(names)
    found = known | {short for short, name in _ESPEAK_NAMES.items() if name in known}
    return tuple(sorted(name for name in found if len(name) == 2))  # noqa: PLR2004 - what has two letters is ISO 639-1


def _advise_espeak(_need: Need) -> str:
    return "install espeak-ng (apt-get install espeak-ng, or pip install 'mediafleet[espeak]')"


def _look_at_piper(folder: Path) -> Offer:
    voice = look_at_voice(folder)
    return Offer("piper", Role.SYNTHESIZE, str(folder), folder.name, (voice.language,), is_parallel=True)


def _look_at_kokoro(folder: Path) -> Offer:
    languages = look_at_kokoro(folder).languages
    return Offer("kokoro-onnx", Role.SYNTHESIZE, str(folder), folder.name, languages, is_parallel=True)


KOKORO_FOLDERS = ModelFolders("kokoro-onnx", ("kokoro_onnx",), _look_at_kokoro)
PIPER_FOLDERS = ModelFolders("piper", ("piper",), _look_at_piper)


def _advise_piper(need: Need) -> str:
    language = f" for {need.language}" if need.language else ""
    return (
        "install the extra 'piper' (pip install 'mediafleet[piper]') and put a voice"
        f"{language}, NAME.onnx and NAME.onnx.json, into <models>/piper/<name>"
    )


def _advise_kokoro(need: Need) -> str:
    if need.language and need.language not in {accent.language for accent in KOKORO_ACCENTS.values()}:
        return ""
    return (
        "install the extra 'kokoro' (pip install 'mediafleet[kokoro]') and put Kokoro's network and its voices*.bin into "
        "<models>/kokoro-onnx/<name>"
    )


KOKORO = Adapter(
    name="kokoro-onnx",
    role=Role.SYNTHESIZE,
    rank=50,
    scout=KOKORO_FOLDERS.scout,
    load="mediafleet.engines.adapters.kokoro:load",
    advise=_advise_kokoro,
)
PIPER = Adapter(
    name="piper",
    role=Role.SYNTHESIZE,
    rank=40,
    scout=PIPER_FOLDERS.scout,
    load="mediafleet.engines.adapters.piper:load",
    advise=_advise_piper,
)
ESPEAK = Adapter(
    name="espeak-ng",
    role=Role.SYNTHESIZE,
    rank=0,
    scout=_scout_espeak,
    load="mediafleet.engines.adapters.espeak:load",
    advise=_advise_espeak,
)
OPENAI_SYNTHESIZE = Adapter(
    name="openai-synthesize",
    role=Role.SYNTHESIZE,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.SYNTHESIZE, "openai-synthesize"),
    load="mediafleet.engines.adapters.openai_synthesizer:load",
    advise=lambda _need: advise_endpoint("/audio/speech"),
)
