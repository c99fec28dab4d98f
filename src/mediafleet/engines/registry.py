"""Finds the installed engines, and says what to install where one is missing."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from mediafleet.domain.capability import ANY
from mediafleet.domain.errors import CapabilityMissing, ConfigError, NotFound
from mediafleet.engines.adapter import Adapter
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP = "mediafleet.engines"
IN_SPEECH = frozenset({"pocketsphinx", "silero", "webrtcvad"})
"""Adapters of the extra `speech`, which bring their models along."""
_SPEECH = "install the extra 'speech' (pip install 'mediafleet[speech]')"
_DRAFTY_SPEECH = "install the extra 'speech' (pip install 'mediafleet[speech]'; drafty, English only)"
_READ_ON = "`mediafleet models` lists what else could, and docs/reference/engines.md what each needs"


class EngineRegistry:
    """The adapters that this process knows, and what they could load here."""

    def __init__(self, adapters: Iterable[Adapter], where: Where | None = None) -> None:
        self._adapters = {adapter.name: adapter for adapter in adapters}
        self._where = where or Where()

    @classmethod
    def installed(cls, where: Where | None = None) -> EngineRegistry:
        """Take every adapter that an installed package offers; no library is imported.

        Raises:
            ConfigError: An entry point does not load or is no `Adapter`, or two are called alike.
        """
        found: dict[str, Adapter] = {}
        for point in entry_points(group=GROUP):
            adapter = _load(point)
            if found.setdefault(adapter.name, adapter) is not adapter:
                raise ConfigError(f"Two packages offer the engine {adapter.name!r} ({point.value}); uninstall one.")
        return cls(found.values(), where)

    def get(self, name: str) -> Adapter:
        """Return the adapter of that name.

        Raises:
            NotFound: None is installed.
        """
        if adapter := self._adapters.get(name):
            return adapter
        raise NotFound(f"There is no engine {name!r}; installed are {', '.join(sorted(self._adapters))}.")

    def offers(self, role: Role | None = None) -> list[Offer]:
        """Return what could be loaded here, the best first; with a role, only what has it."""
        adapters = [adapter for adapter in self._adapters.values() if role is None or adapter.role is role]
        ranked = sorted(adapters, key=lambda adapter: (-adapter.rank, adapter.name))
        return [offer for adapter in ranked for offer in adapter.scout(self._where)]

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        """Return the best that could do what is needed.

        Args:
            need: The step.
            adapter: Name of the only one to consider; any where empty.

        Raises:
            CapabilityMissing: None could; the sentence says what to install. Raised before any work.
        """
        for offer in self.offers(need.role):
            if offer.covers(need) and adapter in {"", offer.adapter}:
                return offer
        raise CapabilityMissing(capability_of(need), self.explain(need, adapter=adapter))

    def explain(self, need: Need, *, adapter: str = "") -> str:
        """Return in one sentence which engine does what is needed, or what to install for it."""
        for offer in self.offers(need.role):
            if offer.covers(need) and adapter in {"", offer.adapter}:
                return f"{offer.adapter} can {need}{f' ({offer.model})' if offer.model else ''}."
        who = f"{adapter} cannot" if adapter else "Nothing that is installed here can"
        return f"{who} {need}: {self.advise(need, adapter=adapter)}."

    def advise(self, need: Need, *, adapter: str = "") -> str:
        """Return what to install for a need, as half a sentence.

        Of what hears and recognizes there is much: the least to do is said, and where to read on; else all, the best first.
        """
        ranked = sorted(self._adapters.values(), key=lambda one: (-one.rank, one.name))
        fitting = [one for one in ranked if one.role is need.role and adapter in {"", one.name}]
        advice = {one: text for one in fitting if (text := one.advise(need))}
        texts = list(advice.values())
        if not adapter and need.role in {Role.VOICE_ACTIVITY, Role.RECOGNIZE} and len(texts) > 1:
            if any(one.name in IN_SPEECH for one in advice):
                texts = [_SPEECH if need.role is Role.VOICE_ACTIVITY else _DRAFTY_SPEECH]
            # Whoever has installed the package of a third party wants to know what that lacks.
            foreign = [text for one, text in advice.items() if not one.load.startswith("mediafleet.")]
            return f"{'; or '.join(dict.fromkeys([texts[0], *foreign]))}; {_READ_ON}"
        return "; or ".join(texts) or "no known engine does"


def capability_of(need: Need) -> str:
    """Return the capability that a task asks for which has this need; `*` in it stands for a language that nobody knows yet."""
    if need.role is Role.TRANSLATE:
        return f"mt:{need.language or '*'}>{need.target}"
    if need.role is Role.SYNTHESIZE:
        return f"tts:{need.language or ANY}"
    return f"lang:{need.language or 'auto'}" if need.role is Role.RECOGNIZE else f"engine:{need.role}"


def _load(point: Any) -> Adapter:
    try:
        adapter = point.load()
    except Exception as error:
        raise ConfigError(f"The engine {point.name!r} ({point.value}) could not be loaded: {error}.") from error
    if not isinstance(adapter, Adapter):
        raise ConfigError(f"The entry point {point.name!r} ({point.value}) is no mediafleet.engines.Adapter.")
    return adapter
