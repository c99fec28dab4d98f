"""Where the settings say that engines are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.offer import Endpoint, Role, Where
from mediafleet.ops.settings import DEFAULT_MODEL_DIRECTORY

if TYPE_CHECKING:
    from mediafleet.ops.settings import EndpointSettings, EngineSettings


def models_folder(settings: EngineSettings) -> Path:
    """Return where models lie; it need not be there."""
    return Path(settings.models or DEFAULT_MODEL_DIRECTORY).expanduser()


def places_of(settings: EngineSettings) -> Where:
    """Return where adapters look for engines."""
    named: dict[Role, EndpointSettings] = {
        Role.RECOGNIZE: settings.recognize,
        Role.REPAIR: settings.repair,
        Role.TRANSLATE: settings.translate,
        Role.SYNTHESIZE: settings.synthesize,
    }
    endpoints = tuple(
        Endpoint(role, one.url, one.model, one.key, one.languages, one.tones) for role, one in named.items() if one.url
    )
    return Where(str(models_folder(settings)), endpoints)
