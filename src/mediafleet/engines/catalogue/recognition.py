"""What recognizes speech, and where it is found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter, find_package, is_installed
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.models.folders import ModelFolders, need_files, room_for
from mediafleet.engines.models.recognition import look_at_sherpa, look_at_vosk
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable


def _scout_pocketsphinx(_where: Where) -> Iterable[Offer]:
    folder = find_package("pocketsphinx")
    # Distributions of the package exist that leave the model out.
    if folder and (folder / "model" / "en-us" / "en-us.lm.bin").is_file() and is_installed("numpy"):
        model = folder / "model" / "en-us"
        yield Offer("pocketsphinx", Role.RECOGNIZE, place=str(model), model="en-us", languages=("en",))


def _advise_pocketsphinx(need: Need) -> str:
    if need.language not in {"", "en"}:
        return ""
    return "install the extra 'pocketsphinx' (pip install 'mediafleet[pocketsphinx]'; drafty)"


_WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without the last one the library would ask a hub for it."""


def _look_at_whisper(folder: Path) -> Offer:
    need_files(folder, _WHISPER_FILES)
    # The names of models that know English only end so; others say what they know once they are loaded.
    languages = ("en",) if folder.name.endswith(".en") else ()
    room = room_for(folder / "model.bin")
    return Offer(
        "faster-whisper", Role.RECOGNIZE, str(folder), folder.name, languages, gpu_bytes=room, is_parallel=True
    )


def _look_at_vosk(folder: Path) -> Offer:
    return Offer("vosk", Role.RECOGNIZE, str(folder), folder.name, look_at_vosk(folder))


def _look_at_sherpa(folder: Path) -> Offer:
    return Offer("sherpa-onnx", Role.RECOGNIZE, str(folder), folder.name, look_at_sherpa(folder).languages)


WHISPER_FOLDERS = ModelFolders("faster-whisper", ("faster_whisper",), _look_at_whisper)
VOSK_FOLDERS = ModelFolders("vosk", ("vosk",), _look_at_vosk)
SHERPA_FOLDERS = ModelFolders("sherpa-onnx", ("sherpa_onnx",), _look_at_sherpa)


def _advise_faster_whisper(_need: Need) -> str:
    return (
        "install the extra 'faster-whisper' (pip install 'mediafleet[faster-whisper]') and put a model with "
        f"{', '.join(_WHISPER_FILES)} into <models>/faster-whisper/<name>"
    )


def _advise_vosk(need: Need) -> str:
    language = f" for {need.language}" if need.language else ""
    return (
        f"install the extra 'vosk' (pip install 'mediafleet[vosk]') and put a model{language} into <models>/vosk/<name>"
    )


def _advise_sherpa(need: Need) -> str:
    language = f" for {need.language}" if need.language else ""
    return (
        "install the extra 'sherpa-onnx' (pip install 'mediafleet[sherpa-onnx]') and put a streaming Zipformer or SenseVoice"
        f"{language} into <models>/sherpa-onnx/<name>"
    )


FASTER_WHISPER = Adapter(
    name="faster-whisper",
    role=Role.RECOGNIZE,
    rank=100,
    scout=WHISPER_FOLDERS.scout,
    load="mediafleet.engines.adapters.faster_whisper:load",
    advise=_advise_faster_whisper,
)
SHERPA_ONNX = Adapter(
    name="sherpa-onnx",
    role=Role.RECOGNIZE,
    rank=40,
    scout=SHERPA_FOLDERS.scout,
    load="mediafleet.engines.adapters.sherpa_onnx:load",
    advise=_advise_sherpa,
)
VOSK = Adapter(
    name="vosk",
    role=Role.RECOGNIZE,
    rank=20,
    scout=VOSK_FOLDERS.scout,
    load="mediafleet.engines.adapters.vosk:load",
    advise=_advise_vosk,
)
POCKETSPHINX = Adapter(
    name="pocketsphinx",
    role=Role.RECOGNIZE,
    rank=0,
    scout=_scout_pocketsphinx,
    load="mediafleet.engines.adapters.pocketsphinx:load",
    advise=_advise_pocketsphinx,
)
OPENAI_RECOGNIZE = Adapter(
    name="openai-recognize",
    role=Role.RECOGNIZE,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.RECOGNIZE, "openai-recognize"),
    load="mediafleet.engines.adapters.openai_recognizer:load",
    advise=lambda _need: advise_endpoint("/audio/transcriptions"),
)
