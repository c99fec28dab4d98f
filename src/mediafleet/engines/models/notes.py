"""`mediafleet.toml` beside a model: what its files do not say, in the operator's words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import msgspec

from mediafleet.domain.errors import ConfigError

NOTE_NAME = "mediafleet.toml"


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator wrote of a model; empty where nothing was written."""

    languages: tuple[str, ...] = ()
    """ISO 639-1. Of a translator: it translates from each of them to each other one."""
    pairs: tuple[str, ...] = ()
    """As `en>es`; of translators only."""
    tokens: Mapping[str, str] = {}
    """ISO 639-1 and the token that stands for this language in the model, as `zh = ">>cmn_Hans<<"`."""

    @property
    def all_pairs(self) -> tuple[str, ...]:
        """The pairs that were named, and those between languages that were named; sorted."""
        return tuple(sorted({*self.pairs, *(f"{one}>{other}" for one, other in permutations(self.languages, 2))}))


def read_note(folder: Path) -> Note:
    """Return the note in a model's folder, or an empty one.

    Raises:
        ConfigError: It makes no sense; the sentence has the path.
    """
    path = folder / NOTE_NAME
    try:
        note = msgspec.toml.decode(path.read_bytes(), type=Note)
    except FileNotFoundError:
        return Note()
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path} cannot be used: {error}.") from error
    for pair in note.pairs:
        if not all(pair.partition(">")):
            raise ConfigError(f"{path} cannot be used: {pair!r} is no pair of languages, as 'en>es'.")
    return note
