"""Which engines could be loaded here, what the others need, and which folders of models lack something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points

from mediafleet.domain.errors import ConfigError
from mediafleet.engines.adapter import Adapter, model_folders
from mediafleet.engines.catalogue.diarization import DIARIZER_FOLDERS
from mediafleet.engines.catalogue.recognition import SHERPA_FOLDERS, VOSK_FOLDERS, WHISPER_FOLDERS
from mediafleet.engines.catalogue.synthesis import KOKORO_FOLDERS, PIPER_FOLDERS
from mediafleet.engines.catalogue.translation import ARGOS_FOLDERS, CTRANSLATE2_FOLDERS
from mediafleet.engines.models.folders import ModelFolders
from mediafleet.engines.offer import Need, Offer, Role, Where
from mediafleet.engines.registry import GROUP, EngineRegistry

_FOLDERS = (
    ARGOS_FOLDERS,
    CTRANSLATE2_FOLDERS,
    DIARIZER_FOLDERS,
    KOKORO_FOLDERS,
    PIPER_FOLDERS,
    SHERPA_FOLDERS,
    VOSK_FOLDERS,
    WHISPER_FOLDERS,
)


@dataclass(frozen=True)
class EngineFound:
    """One adapter."""

    name: str
    role: Role
    offers: tuple[Offer, ...]
    """What could be loaded now."""
    advice: str
    """What to install to have it; said where nothing is offered."""


def survey_engines(where: Where) -> list[EngineFound]:
    """Return all adapters, by role and the best first, with what they found; no library is loaded.

    Raises:
        ConfigError: As `EngineRegistry.installed`.
    """
    registry = EngineRegistry.installed(where)
    adapters: list[Adapter] = [registry.get(point.load().name) for point in entry_points(group=GROUP)]
    ranked = sorted(adapters, key=lambda adapter: (tuple(Role).index(adapter.role), -adapter.rank, adapter.name))
    return [_find(adapter, tuple(adapter.scout(where))) for adapter in ranked]


def survey_folders(where: Where) -> list[str]:
    """Return a sentence for each folder of a model that cannot be used."""
    return [problem for folders in _FOLDERS for problem in _problems(folders, where)]


def _find(adapter: Adapter, offers: tuple[Offer, ...]) -> EngineFound:
    return EngineFound(adapter.name, adapter.role, offers, "" if offers else adapter.advise(Need(adapter.role)))


def _problems(folders: ModelFolders, where: Where) -> Iterable[str]:
    for folder in model_folders(where, folders.adapter):
        try:
            folders.look(folder)
        except ConfigError as error:
            yield error.message
