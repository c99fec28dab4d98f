"""Models that are known by name: where they come from, what belongs to them, and under which licence."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import msgspec

from mediafleet.domain.errors import NotFound

KNOWN_FILE = Path(__file__).with_name("known.toml")


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model."""

    name: str
    """Below the model's address, and in its folder."""
    bytes: int = 0
    """Exactly; 0 where nobody knows."""
    sha256: str = ""
    """In hexadecimal; empty where nobody knows."""
    is_archive: bool = False
    """Whether it is a ZIP with one folder, whose content is the model."""


class KnownModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model."""

    name: str
    """Also of its folder."""
    adapter: str
    address: str
    """Of the folder that its files are in, without a slash at the end."""
    files: tuple[ModelFile, ...]
    licence: str
    bytes: int
    """Of all files, roughly."""
    languages: tuple[str, ...] = ()
    """ISO 639-1, sorted; empty for many."""

    def place(self, models: Path) -> Path:
        """Return where it belongs in a folder of models."""
        return models / self.adapter / self.name


class _Catalogue(msgspec.Struct, forbid_unknown_fields=True):
    model: tuple[KnownModel, ...]


def read_known(path: Path) -> tuple[KnownModel, ...]:
    """Return the models of a data file, in its order."""
    return msgspec.toml.decode(path.read_bytes(), type=_Catalogue).model


def find_known(models: tuple[KnownModel, ...], name: str) -> KnownModel:
    """Return the model of that name.

    Raises:
        NotFound: None is called so; the sentence has the nearest name.
    """
    by_name = {model.name: model for model in models}
    if name in by_name:
        return by_name[name]
    nearest = get_close_matches(name, by_name, 1)
    raise NotFound(
        f"No model {name!r} is known{f'; did you mean {nearest[0]!r}?' if nearest else ' (`mediafleet models list`).'}"
    )
