"""What recognizes speech, and where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter, find_package, is_installed, model_folders
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
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
_WORKING_BYTES = 512 << 20
"""What a model needs on a card besides its weights, roughly; whole spans are recognized, one at a time."""


def _scout_faster_whisper(where: Where) -> Iterable[Offer]:
    if not is_installed("faster_whisper"):
        return
    for folder in model_folders(where, "faster-whisper"):
        if all((folder / name).is_file() for name in _WHISPER_FILES):
            weights = (folder / "model.bin").stat().st_size
            # The names of models that know English only end so; others say what they know once they are loaded.
            languages = ("en",) if folder.name.endswith(".en") else ()
            yield Offer(
                "faster-whisper",
                Role.RECOGNIZE,
                str(folder),
                folder.name,
                languages,
                gpu_bytes=weights + _WORKING_BYTES,
                is_parallel=True,
            )


def _advise_faster_whisper(_need: Need) -> str:
    return (
        "install the extra 'faster-whisper' (pip install 'mediafleet[faster-whisper]') and put a model with "
        f"{', '.join(_WHISPER_FILES)} into <models>/faster-whisper/<name>"
    )


FASTER_WHISPER = Adapter(
    name="faster-whisper",
    role=Role.RECOGNIZE,
    rank=100,
    scout=_scout_faster_whisper,
    load="mediafleet.engines.adapters.faster_whisper:load",
    advise=_advise_faster_whisper,
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
