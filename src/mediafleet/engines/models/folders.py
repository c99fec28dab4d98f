"""Looks at the folders of models that an adapter could load, and says of each other one what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mediafleet.domain.errors import ConfigError
from mediafleet.engines.adapter import is_installed, model_folders
from mediafleet.engines.offer import Offer, Where

_WORKING_BYTES = 512 << 20
"""What a model needs on a card besides its weights, roughly."""


@dataclass(frozen=True)
class ModelFolders:
    """The models of one adapter: `<models>/<adapter>/<name>`."""

    adapter: str
    modules: tuple[str, ...]
    """What must be importable to load one."""
    look: Callable[[Path], Offer]
    """Return what a folder offers, in milliseconds; raises `ConfigError` with what it lacks."""

    @property
    def is_loadable(self) -> bool:
        """Whether what loads these models is installed."""
        return all(map(is_installed, self.modules))

    def scout(self, where: Where) -> Iterable[Offer]:
        """Yield what could be loaded here; folders that lack something are passed over."""
        if not self.is_loadable:
            return
        for folder in model_folders(where, self.adapter):
            with suppress(ConfigError):
                yield self.look(folder)


def need_files(folder: Path, names: Iterable[str]) -> None:
    """Check that a model is complete.

    Raises:
        ConfigError: A file is missing; the sentence names all that are.
    """
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking:
        raise ConfigError(f"{folder} lacks {', '.join(lacking)}.")


def room_for(weights: Path) -> int:
    """Return how many bytes a graphics card must have free for a model with this file of weights."""
    return weights.stat().st_size + _WORKING_BYTES
