"""What translates, and where it is found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter
from mediafleet.engines.apertium_modes import read_mode, short_code, three_letters
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.models.folders import ModelFolders, room_for
from mediafleet.engines.models.translation import TranslationModel, look_at_argos, look_at_translator
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable


def _scout_apertium(where: Where) -> Iterable[Offer]:
    found: dict[str, Offer] = {}
    for folder in map(Path, where.apertium_modes):
        for path in sorted(folder.glob("*.mode")) if folder.is_dir() else ():
            source, _, target = path.stem.partition("-")
            # `spa-eng_US` is a variant of a pair that is there without it.
            if not target or "_" in path.stem or not _is_complete(path):
                continue
            pair = f"{short_code(source)}>{short_code(target)}"
            found.setdefault(pair, Offer("apertium", Role.TRANSLATE, str(path), path.stem, pairs=(pair,)))
    return found.values()


def _is_complete(path: Path) -> bool:
    commands = read_mode(path.read_text(encoding="utf-8"))
    return bool(commands) and all(shutil.which(command[0]) for command in commands)


def _advise_apertium(need: Need) -> str:
    # Packages are named for both languages in the order of the alphabet.
    first, second = sorted([three_letters(need.language), three_letters(need.target)])
    if not first or not second:
        return ""
    return f"install Apertium, where it has this pair (apt-get install apertium apertium-{first}-{second})"


def _offer_model(adapter: str, folder: Path, model: TranslationModel) -> Offer:
    room = room_for(model.weights / "model.bin")
    return Offer(adapter, Role.TRANSLATE, str(folder), folder.name, pairs=model.pairs, gpu_bytes=room, is_parallel=True)


def _look_at_ctranslate2(folder: Path) -> Offer:
    return _offer_model("ctranslate2", folder, look_at_translator(folder))


def _look_at_argos(folder: Path) -> Offer:
    return _offer_model("argostranslate", folder, look_at_argos(folder))


CTRANSLATE2_FOLDERS = ModelFolders("ctranslate2", ("ctranslate2", "sentencepiece"), _look_at_ctranslate2)
ARGOS_FOLDERS = ModelFolders("argostranslate", ("ctranslate2", "sentencepiece"), _look_at_argos)


def _advise_ctranslate2(need: Need) -> str:
    pair = f" that translates {need.pair}" if need.language else ""
    return (
        "install the extra 'ctranslate2' (pip install 'mediafleet[ctranslate2]') and put a model"
        f"{pair} (OPUS-MT, NLLB-200 or M2M-100) into <models>/ctranslate2/<name>"
    )


def _advise_argos(_need: Need) -> str:
    return "put an unpacked package of Argos Translate into <models>/argostranslate/<name>, which the extra 'ctranslate2' reads"


CTRANSLATE2 = Adapter(
    name="ctranslate2",
    role=Role.TRANSLATE,
    rank=50,
    scout=CTRANSLATE2_FOLDERS.scout,
    load="mediafleet.engines.adapters.ctranslate2:load",
    advise=_advise_ctranslate2,
)
ARGOSTRANSLATE = Adapter(
    name="argostranslate",
    role=Role.TRANSLATE,
    rank=40,
    scout=ARGOS_FOLDERS.scout,
    load="mediafleet.engines.adapters.ctranslate2:load_argos",
    advise=_advise_argos,
)
APERTIUM = Adapter(
    name="apertium",
    role=Role.TRANSLATE,
    rank=10,
    scout=_scout_apertium,
    load="mediafleet.engines.adapters.apertium:load",
    advise=_advise_apertium,
)
OPENAI_TRANSLATE = Adapter(
    name="openai-translate",
    role=Role.TRANSLATE,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.TRANSLATE, "openai-translate"),
    load="mediafleet.engines.adapters.openai_translator:load",
    advise=lambda _need: advise_endpoint("/chat/completions"),
)
