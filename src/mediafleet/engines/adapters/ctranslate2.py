"""OPUS-MT, NLLB-200, M2M-100 and Argos's packages by CTranslate2, on a graphics card where there is one, else with 8-bit integers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.domain.errors import InvalidRequest, TaskFailed
from mediafleet.engines.models.translation import Family, TranslationModel, look_at_argos, look_at_translator
from mediafleet.engines.translation import Brief, TranslatorFacts, check_pair

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_END = "</s>"
_MOST_TOKENS = 500
"""Of a sentence: the smallest of these models have 512 positions, and what is beyond would be left out silently."""
_AT_LEAST_TOKENS, _TIMES_LONGER = 30, 3
"""How long a translation may be: so much, or so many times its sentence; one that goes on repeats itself."""
_BATCH_TOKENS = 1024
"""Of sentences that are translated together: more take more memory and, on processors, no less time."""
_NO_REPEAT = 3
"""No sequence of so many tokens twice, where a model got stuck without that."""


class CTranslate2Engine:
    """A loaded model with its SentencePiece models."""

    def __init__(self, model: TranslationModel) -> None:
        library: Any = import_module("ctranslate2")
        pieces: Any = import_module("sentencepiece")
        has_card = bool(library.get_cuda_device_count())
        self._translator: Any = library.Translator(
            str(model.weights),
            device="cuda" if has_card else "cpu",
            compute_type="int8_float16" if has_card else "int8",
        )
        self._source: Any = pieces.SentencePieceProcessor(model_file=str(model.source_pieces))
        self._target: Any = pieces.SentencePieceProcessor(model_file=str(model.target_pieces))
        self._model = model
        self.facts = TranslatorFacts(model.pairs)

    def translate(self, sentences: Sequence[str], brief: Brief) -> tuple[str, ...]:
        """Translate sentences, each for itself; one without a letter or digit stays as it is."""
        check_pair(self.facts, brief)
        done = [" ".join(sentence.split()) for sentence in sentences]
        wanted = [number for number, line in enumerate(done) if any(letter.isalnum() for letter in line)]
        for number, said in zip(wanted, self._translate([done[number] for number in wanted], brief), strict=True):
            done[number] = said
        return tuple(done)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""

    def _translate(self, lines: Sequence[str], brief: Brief) -> list[str]:
        sources = [frame_source(self._model, self._source.encode(line, out_type=str), brief) for line in lines]
        for line, source in zip(lines, sources, strict=True):
            if len(source) > _MOST_TOKENS:
                raise InvalidRequest(
                    f"This sentence is too long for {self._model.weights.name}: {line[:60]!r}…; cut it."
                )
        prefix = target_prefix(self._model, brief)
        said = self._run(sources, prefix)
        stuck = [number for number, text in enumerate(said) if not text]
        again = self._run([sources[number] for number in stuck], prefix, no_repeat_ngram_size=_NO_REPEAT)
        for number, text in zip(stuck, again, strict=True):
            if not text:
                raise TaskFailed(
                    f"{self._model.weights.name} found no translation of a sentence ({brief.pair}).",
                    detail=lines[number],
                )
            said[number] = text
        return said

    def _run(self, sources: Sequence[Sequence[str]], prefix: Sequence[str], **options: Any) -> list[str]:
        """Return a text for each sentence; an empty one where the model said nothing or did not come to an end."""
        if not sources:
            return []
        longest = max(map(len, sources))
        results = self._translator.translate_batch(
            sources,
            target_prefix=[prefix] * len(sources) if prefix else None,
            max_batch_size=_BATCH_TOKENS,
            batch_type="tokens",
            max_decoding_length=min(_MOST_TOKENS, max(_AT_LEAST_TOKENS, _TIMES_LONGER * longest)),
            return_end_token=True,
            disable_unk=True,
            **options,
        )
        return [self._read(result.hypotheses[0], len(prefix)) for result in results]

    def _read(self, tokens: Sequence[str], framed: int) -> str:
        if not tokens or tokens[-1] != _END:
            return ""
        return " ".join(self._target.decode(tokens[framed:-1]).split())


def frame_source(model: TranslationModel, pieces: Sequence[str], brief: Brief) -> list[str]:
    """Return a sentence as the model wants it: with its language, or that of the target, and its end."""
    before: list[str] = []
    if model.family in {Family.NLLB, Family.M2M}:
        before = [model.tokens[brief.source]]
    elif model.family is Family.OPUS and (token := model.tokens.get(brief.target)):
        before = [token]
    after = [] if model.adds_end or model.family is Family.ARGOS else [_END]
    return [*before, *pieces, *after]


def target_prefix(model: TranslationModel, brief: Brief) -> list[str]:
    """Return the tokens that a translation has to begin with."""
    if model.family is Family.OPUS:
        return []
    token = model.tokens.get(brief.target)
    return [token] if token else []


def load(offer: Offer) -> CTranslate2Engine:
    """Load the folder that was offered."""
    return CTranslate2Engine(look_at_translator(Path(offer.place)))


def load_argos(offer: Offer) -> CTranslate2Engine:
    """Load the unpacked package that was offered."""
    return CTranslate2Engine(look_at_argos(Path(offer.place)))
