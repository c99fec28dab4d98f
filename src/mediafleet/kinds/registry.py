"""Finds the installed job kinds."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import ConfigError, InvalidParams, UnknownKind
from mediafleet.kinds.mismatch import explain_mismatch
from mediafleet.kinds.seam import Kind
from mediafleet.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUP = "mediafleet.kinds"


class KindRegistry:
    """The job kinds that this process knows, by name."""

    def __init__(self, kinds: Iterable[Kind], settings: Settings | None = None) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._settings = settings or Settings()

    @classmethod
    def installed(cls, settings: Settings | None = None) -> KindRegistry:
        """Load every kind that an installed package offers.

        Args:
            settings: Of this process, for kinds that look something up here; the defaults where not given.

        Raises:
            ConfigError: An entry point does not load or does not name a `Kind`, or two name kinds that are called alike.
        """
        found: dict[str, tuple[Kind, Any]] = {}
        for point in entry_points(group=GROUP):
            kind = _load(point)
            known, first = found.setdefault(kind.name, (kind, point))
            # Which of two would win is up to the order of folders on the import path, and that may differ
            # between scheduler and nodes: one would plan what the other does not run.
            if known is not kind:
                raise ConfigError(
                    f"Two packages offer the job kind {kind.name!r} ({first.value} and {point.value}); uninstall one."
                )
        return cls((kind for kind, _ in found.values()), settings)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def get(self, name: str) -> Kind:
        """Return the kind of that name.

        Raises:
            UnknownKind: None is installed; the sentence names the nearest.
        """
        if kind := self._kinds.get(name):
            return kind
        nearest = get_close_matches(name, self._kinds, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"installed are {', '.join(sorted(self._kinds))}."
        raise UnknownKind(f"There is no job kind {name!r}; {hint}")

    def versions(self) -> dict[str, tuple[int, ...]]:
        """Return of which versions of each kind jobs can be planned here, by name."""
        return {name: self._kinds[name].versions for name in sorted(self._kinds)}

    def can_plan(self, name: str, version: int) -> bool:
        """Tell whether a job of that version of a kind can be planned, and its tasks run, with what is installed here."""
        kind = self._kinds.get(name)
        return kind is not None and version in kind.versions

    def check_params(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the params as the kind reads them, with its defaults filled in.

        Raises:
            UnknownKind: No such kind.
            InvalidParams: They do not fit; the sentence names the field.
        """
        kind = self.get(name)
        params = dict(kind.complete(params, self._settings))
        try:
            # Strict about types: a "2" that counts as a number here would count as a word for the next client.
            typed = msgspec.convert(params, kind.params)
        except msgspec.ValidationError as error:
            sentence = explain_mismatch(error, params, kind.params)
            raise InvalidParams(f"The params do not fit the kind {name!r}: {sentence.rstrip('.')}.") from error
        # The defaults are stored with the job: a later version with others must not change what was asked for.
        return msgspec.to_builtins(typed)


def _load(point: Any) -> Kind:
    try:
        kind = point.load()
    except Exception as error:
        # A package that is silently left out would only be missed when a job of its kind finds no node.
        raise ConfigError(f"The job kind {point.name!r} ({point.value}) could not be loaded: {error}.") from error
    if not isinstance(kind, Kind):
        raise ConfigError(f"The entry point {point.name!r} ({point.value}) is no mediafleet.kinds.Kind.")
    return kind
