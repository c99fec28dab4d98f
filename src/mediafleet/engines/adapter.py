"""What an adapter is: the one door through which built-in and third-party engines come.

A package offers one through the entry points `mediafleet.engines`. The description is data and imports no library; what is
named in `load` does, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mediafleet.domain.errors import MediafleetError, TaskFailed
from mediafleet.engines.diarization import Diarizer
from mediafleet.engines.offer import Need, Offer, Role, Where
from mediafleet.engines.recognition import Recognizer
from mediafleet.engines.repair import Repairer
from mediafleet.engines.synthesis import Synthesizer
from mediafleet.engines.translation import Translator
from mediafleet.engines.voice_activity import VoiceActivity

if TYPE_CHECKING:
    from typing import Any

Engine: TypeAlias = VoiceActivity | Diarizer | Recognizer | Repairer | Translator | Synthesizer


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One library, program or service as an engine."""

    name: str
    """As in capabilities; letters, digits and dashes."""
    role: Role
    rank: int
    """Of several that could do a step the largest is taken: 100 for the best known, 0 for the last resort."""
    scout: Callable[[Where], Iterable[Offer]]
    """Say what could be loaded here, in milliseconds, without importing the library or asking the network."""
    load: str
    """`module:function` that takes an `Offer` and returns the engine; it may take seconds, and downloads nothing."""
    advise: Callable[[Need], str]
    """Say what to install for a need, as "install …"; an empty text where this adapter could never do it."""


def load_engine(adapter: Adapter, offer: Offer) -> Engine:
    """Import the library and load what was offered; call it in a process that may die of it.

    Raises:
        TaskFailed: It does not load; the sentence names engine and model.
    """
    module, _, function = adapter.load.partition(":")
    try:
        loader: Any = getattr(import_module(module), function)
        return loader(offer)
    except MediafleetError:
        raise
    # Libraries raise what they like when a model is broken or a shared library is missing.
    except Exception as error:
        what = f"The engine {adapter.name}{f' with {offer.place}' if offer.place else ''}"
        raise TaskFailed(f"{what} could not be loaded: {error}.", detail=repr(error)) from error


def is_installed(module: str) -> bool:
    """Tell whether a top-level module could be imported, without importing it."""
    return find_spec(module) is not None


def find_package(module: str) -> Path | None:
    """Return the folder of an installed package without importing it; None where there is none."""
    spec = find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def model_folders(where: Where, adapter: str) -> list[Path]:
    """Return the folders of an adapter's models, by name; none where nobody said where models are."""
    folder = Path(where.models, adapter)
    return sorted(path for path in folder.iterdir() if path.is_dir()) if where.models and folder.is_dir() else []
