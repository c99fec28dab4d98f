"""Folders of translators in CTranslate2's format: which family a model is of, which pairs it translates, how it is spoken to.

Families differ in how a sentence and its languages are written as tokens:

| family | told by | source | beginning of the target |
|---|---|---|---|
| OPUS-MT (Marian) | `source.spm` and `target.spm` | a token of the target, if the model has several; pieces; end | |
| NLLB-200 | `eng_Latn` in the vocabulary | token of the source, pieces, end | token of the target |
| M2M-100 | `__en__` in the vocabulary | token of the source, pieces, end | token of the target |
| Argos | `metadata.json` | pieces | what `target_prefix` says, if anything |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import msgspec

from mediafleet.domain.errors import ConfigError
from mediafleet.engines.apertium_modes import short_code
from mediafleet.engines.models.folders import need_files
from mediafleet.engines.models.nllb import NLLB_TOKENS
from mediafleet.engines.models.notes import NOTE_NAME, Note, read_note

_PIVOT = "en"
"""A model of a hundred languages has ten thousand pairs; where nobody names any, those from and to this one count."""
_OPUS_NAME = re.compile(r"opus-mt-(?:tc-)?(?:tiny-|base-|big-)?([a-z]{2,3})-([a-z]{2,3})(?![a-z])")
_M2M_TOKEN = re.compile(r"__([a-z]{2})__")
_SPM_NAMES = ("sentencepiece.bpe.model", "sentencepiece.model", "spm.model")


class Family(StrEnum):
    """How a model wants its sentences."""

    OPUS = "opus-mt"
    NLLB = "nllb"
    M2M = "m2m100"
    ARGOS = "argos"


@dataclass(frozen=True)
class TranslationModel:
    """What must be known of a folder to translate with it."""

    family: Family
    weights: Path
    """Folder with `model.bin`."""
    source_pieces: Path
    """SentencePiece model that cuts sentences."""
    target_pieces: Path
    pairs: tuple[str, ...]
    """As `en>es`, sorted, at least one."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    """ISO 639-1 to what the language is called in the model; empty where it needs no names."""
    adds_end: bool = False
    """Whether the model ends source sentences by itself."""


def look_at_translator(folder: Path) -> TranslationModel:
    """Tell what a folder of OPUS-MT, NLLB-200 or M2M-100 holds.

    Raises:
        ConfigError: It lacks files, is of no known family, or nobody said which pairs it translates.
    """
    need_files(folder, ["model.bin", "config.json"])
    note = read_note(folder)
    adds_end = _adds_end(folder)
    vocabulary = _vocabulary_of(folder, "target")
    if (folder / "source.spm").is_file():
        need_files(folder, ["target.spm"])
        pieces = (folder / "source.spm", folder / "target.spm")
        tokens = _check_opus_tokens(folder, vocabulary | _vocabulary_of(folder, "source"), note)
        return TranslationModel(Family.OPUS, folder, *pieces, _opus_pairs(folder, note), tokens, adds_end)
    spm = next((path for name in _SPM_NAMES if (path := folder / name).is_file()), None)
    if spm is None:
        raise ConfigError(f"{folder} lacks {_SPM_NAMES[0]}, or source.spm and target.spm.")
    family, tokens = _tokens_of(vocabulary)
    if not tokens or family is None:
        raise ConfigError(f"{folder} is no OPUS-MT, NLLB-200 or M2M-100: its vocabulary has no tokens of languages.")
    tokens = {**tokens, **note.tokens}
    pairs = _check_pairs(folder, note.all_pairs or _pairs_with_pivot(tokens), tokens)
    return TranslationModel(family, folder, spm, spm, pairs, tokens, adds_end)


class _ArgosMetadata(msgspec.Struct):
    from_code: str = ""
    to_code: str = ""
    target_prefix: str = ""


def look_at_argos(folder: Path) -> TranslationModel:
    """Tell what an unpacked package of Argos Translate holds.

    Raises:
        ConfigError: It lacks files, or is one of the older packages without a SentencePiece model.
    """
    need_files(folder, ["metadata.json", "model/model.bin", "sentencepiece.model"])
    try:
        said = msgspec.json.decode((folder / "metadata.json").read_bytes(), type=_ArgosMetadata)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{folder / 'metadata.json'} cannot be read: {error}.") from error
    if not said.from_code or not said.to_code:
        raise ConfigError(f"{folder} is no translator: its metadata.json names no two languages.")
    tokens = {said.to_code: said.target_prefix} if said.target_prefix else {}
    spm = folder / "sentencepiece.model"
    return TranslationModel(Family.ARGOS, folder / "model", spm, spm, (f"{said.from_code}>{said.to_code}",), tokens)


def _opus_pairs(folder: Path, note: Note) -> tuple[str, ...]:
    if note.all_pairs:
        return note.all_pairs
    if found := _OPUS_NAME.search(folder.name.lower()):
        return (f"{short_code(found[1])}>{short_code(found[2])}",)
    raise ConfigError(
        f'Nobody says what {folder} translates: call it as opus-mt-en-es, or write pairs = ["en>es"] into {NOTE_NAME} in it.'
    )


def _check_opus_tokens(folder: Path, vocabulary: frozenset[str], note: Note) -> Mapping[str, str]:
    choices = sorted(token for token in vocabulary if token.startswith(">>") and token.endswith("<<"))
    if len(choices) > 1 and not note.tokens:
        raise ConfigError(
            f"{folder} translates into several languages ({', '.join(choices[:5])}, …): write which is which into {NOTE_NAME} "
            f'in it, under [tokens], as zh = "{choices[0]}".'
        )
    if strange := sorted(set(note.tokens.values()) - vocabulary):
        raise ConfigError(f"{folder} does not know the token {strange[0]!r} of its {NOTE_NAME}.")
    return note.tokens


def _tokens_of(vocabulary: frozenset[str]) -> tuple[Family | None, dict[str, str]]:
    if NLLB_TOKENS[_PIVOT] in vocabulary:
        return Family.NLLB, {short: token for short, token in NLLB_TOKENS.items() if token in vocabulary}
    found = {match[1]: match[0] for token in vocabulary if (match := _M2M_TOKEN.fullmatch(token))}
    return (Family.M2M, found) if found else (None, {})


def _pairs_with_pivot(tokens: Mapping[str, str]) -> tuple[str, ...]:
    others = [short for short in tokens if short != _PIVOT]
    return tuple(sorted([*(f"{_PIVOT}>{one}" for one in others), *(f"{one}>{_PIVOT}" for one in others)]))


def _check_pairs(folder: Path, pairs: tuple[str, ...], tokens: Mapping[str, str]) -> tuple[str, ...]:
    strange = sorted({language for pair in pairs for language in pair.split(">")} - set(tokens))
    if strange:
        raise ConfigError(f"{folder} does not know the language {strange[0]!r} of its {NOTE_NAME}.")
    return pairs


class _Config(msgspec.Struct):
    add_source_eos: bool = False


def _adds_end(folder: Path) -> bool:
    try:
        return msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config).add_source_eos
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{folder / 'config.json'} cannot be read: {error}.") from error


def _vocabulary_of(folder: Path, side: str) -> frozenset[str]:
    for name in (
        "shared_vocabulary.json",
        "shared_vocabulary.txt",
        f"{side}_vocabulary.json",
        f"{side}_vocabulary.txt",
    ):
        path = folder / name
        if path.is_file():
            # Files of megabytes, which are looked at each time somebody needs a translator.
            return _read_vocabulary(path, path.stat().st_mtime_ns)
    raise ConfigError(f"{folder} lacks shared_vocabulary.json, or source_vocabulary.json and target_vocabulary.json.")


@lru_cache(maxsize=32)
def _read_vocabulary(path: Path, _changed_ns: int) -> frozenset[str]:
    """Return the tokens that may be names of languages, of a file of any size."""
    try:
        if path.suffix == ".json":
            tokens = msgspec.json.decode(path.read_bytes(), type=list[str])
        else:
            tokens = path.read_text(encoding="utf-8").splitlines()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    return frozenset(token for token in tokens if token.startswith((">>", "__")) or "_" in token[2:5])
