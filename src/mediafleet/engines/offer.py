"""What an engine could do here, as data: found without loading it, and sent to the process that loads it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from mediafleet.domain.capability import ANY


class Role(StrEnum):
    """What an engine is for."""

    VOICE_ACTIVITY = "vad"
    """Hears where somebody speaks."""
    DIARIZE = "diarize"
    """Tells who speaks when."""
    RECOGNIZE = "asr"
    """Writes down what is spoken."""
    REPAIR = "repair"
    """Corrects what was written down."""
    TRANSLATE = "mt"
    """Says it in another language."""
    SYNTHESIZE = "tts"
    """Speaks it."""


_VERBS = {
    Role.VOICE_ACTIVITY: "hear where somebody speaks",
    Role.DIARIZE: "tell voices apart",
    Role.RECOGNIZE: "recognize",
    Role.REPAIR: "repair recognized text in",
    Role.TRANSLATE: "translate",
    Role.SYNTHESIZE: "speak",
}


class Need(msgspec.Struct, frozen=True):
    """One step that somebody needs an engine for."""

    role: Role
    language: str = ""
    """ISO 639-1 of what comes in, or of what is spoken; empty where it does not matter or is not known yet."""
    target: str = ""
    """ISO 639-1 of a translation."""

    @property
    def pair(self) -> str:
        """Both languages, as `en>es`."""
        return f"{self.language}>{self.target}"

    def __str__(self) -> str:
        """Return the need in words, as `translate en>es`."""
        what = self.language
        if self.role is Role.TRANSLATE:
            what = self.pair if self.language else f"into {self.target}"
        return f"{_VERBS[self.role]} {what}".rstrip()


class Endpoint(msgspec.Struct, frozen=True):
    """An OpenAI-compatible service that the operator named."""

    role: Role
    address: str
    """With the version, as `http://127.0.0.1:8080/v1`."""
    model: str = ""
    key: str = ""
    """Sent as a bearer token; none where empty."""
    languages: tuple[str, ...] = ()
    """What it is good for, ISO 639-1, or pairs as `en>es`; empty for any."""
    tones: tuple[str, ...] = ()
    """Of speech: in which it can speak; `any` where it follows instructions in words."""

    def __repr__(self) -> str:
        """Return it without its key: offers turn up in tracebacks."""
        return f"Endpoint({self.role!s}, {self.address!r}, {self.model!r})"


class Where(msgspec.Struct, frozen=True):
    """Where adapters look for engines besides what is installed with Python."""

    models: str = ""
    """Folder with a folder for each adapter, and in that one for each model; none where empty."""
    endpoints: tuple[Endpoint, ...] = ()
    apertium_modes: tuple[str, ...] = ("/usr/local/share/apertium/modes", "/usr/share/apertium/modes")
    """Folders with Apertium's mode files; the first that has a pair is used."""


class Offer(msgspec.Struct, frozen=True):
    """One engine that could be loaded here: an adapter with a model of its own."""

    adapter: str
    role: Role
    place: str = ""
    """File, folder or address of the model, as the adapter understands it."""
    model: str = ""
    """Its name for people."""
    languages: tuple[str, ...] = ()
    """ISO 639-1, sorted; empty for any."""
    pairs: tuple[str, ...] = ()
    """As `en>es`, sorted; of translators only, empty for any."""
    endpoint: Endpoint | None = None
    gpu_bytes: int = 0
    """Memory of a graphics card that must be free to load it; 0 where it uses none."""
    detects_language: bool = False
    """Of recognizers; known once one is loaded."""
    tones: tuple[str, ...] = ()
    """Of synthesizers, as `calm`, or `any`; known once one is loaded."""
    is_parallel: bool = False
    """Whether one process of it keeps all cores busy, or a card; of others an executor has as many as it has slots."""

    @property
    def shown(self) -> str:
        """Engine and model, for people."""
        return f"{self.adapter} {self.model}".rstrip()

    def covers(self, need: Need) -> bool:
        """Tell whether this engine could do what is needed."""
        if self.role is not need.role:
            return False
        if need.role is Role.TRANSLATE:
            # From nobody knows what: one that comes from anywhere may do.
            fitting = [
                pair for pair in self.pairs if pair == need.pair or (not need.language and pair.endswith(need.pair))
            ]
            return not self.pairs or bool(fitting)
        return not self.languages or not need.language or need.language in self.languages

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What a node may say of itself once this has loaded there, sorted, as `asr:pocketsphinx` and `lang:en`."""
        return tuple(sorted(self._name_capabilities()))

    def _name_capabilities(self) -> Iterable[str]:
        yield f"engine:{self.role}"
        if self.role is Role.TRANSLATE:
            yield from (f"mt:{pair}" for pair in self.pairs or (ANY,))
        elif self.role is Role.SYNTHESIZE:
            yield from (f"tts:{language}" for language in self.languages or (ANY,))
            yield from (f"tone:{tone}" for tone in self.tones)
        else:
            yield f"{self.role}:{self.adapter}"
        if self.role is Role.RECOGNIZE:
            yield from (f"lang:{language}" for language in self.languages or (ANY,))
            # One that does not detect it takes its own language for granted, and says so.
            yield "lang:auto"
            if self.detects_language:
                yield "lang:detect"
