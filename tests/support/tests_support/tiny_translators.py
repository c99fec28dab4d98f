"""Translators with all their files and random weights: what they say is noise, but every path of the library is real."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests_support.tiny_weights import TinyWeights

_WIDTH, _HEADS, _POSITIONS = 16, 2, 512
_PIECES = 60
_TEXT = [
    "The house is red and the dog runs in the garden.",
    "She opened the window because the air was warm.",
    "La casa es roja y el perro corre por el prado.",
    "1 2 3 4 5 6 7 8 9 0 , . ? ! - the of to and a in is it you that he was for on are",
]


def write_pieces(path: Path) -> list[str]:
    """Train a SentencePiece model on a few lines, write it, and return its pieces."""
    library: Any = import_module("sentencepiece")
    made = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXT * 4), model_writer=made, vocab_size=_PIECES, minloglevel=2, hard_vocab_limit=False
    )
    path.write_bytes(made.getvalue())
    processor: Any = library.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def write_model(folder: Path, tokens: Sequence[str], *, ends: bool = True) -> None:
    """Write weights and vocabulary of a model with these tokens.

    Args:
        folder: An existing one.
        tokens: All that it knows.
        ends: Whether it comes to an end by itself; else it repeats itself for ever.
    """
    spec: Any = import_module("ctranslate2.specs").TransformerSpec.from_config(1, _HEADS)
    weights = TinyWeights(_WIDTH)
    for part in (spec.encoder, spec.decoder):
        part.position_encodings.encodings = weights.draw(_POSITIONS, _WIDTH)
        weights.norm(part.layer_norm)
        for layer in part.layer:
            weights.layer(layer)
    spec.encoder.embeddings[0].weight = weights.draw(len(tokens), _WIDTH)
    spec.decoder.embeddings.weight = weights.draw(len(tokens), _WIDTH)
    weights.dense(spec.decoder.projection, len(tokens), _WIDTH)
    # What is no text stands alone among the pieces, as `<s>` and names of languages, or would be nothing but a space.
    spec.decoder.projection.bias[:] = [0 if token.isalnum() else -3 for token in tokens]
    _make_it_end(spec.decoder, tokens.index("</s>"), ends=ends)
    for vocabulary in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        vocabulary(list(tokens))
    spec.validate()
    spec.optimize(quantization=None)
    spec.save(str(folder))


def _make_it_end(decoder: Any, end: int, *, ends: bool) -> None:
    """Let one dimension say how far the sentence is, and the end become likelier, or ever unlikelier, with it."""
    decoder.position_encodings.encodings[:, 0] = [0.1 * position for position in range(_POSITIONS)]
    decoder.embeddings.weight[:, 0] = 0
    decoder.projection.weight[:, 0] = 0
    decoder.projection.weight[end] = 0
    decoder.projection.weight[end, 0] = 2 if ends else -2


def write_opus(folder: Path, *, extra: Iterable[str] = (), ends: bool = True) -> Path:
    """Write a model of the OPUS-MT family into a new folder, and return the folder."""
    folder.mkdir(parents=True)
    pieces = write_pieces(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    write_model(folder, [*pieces, *extra], ends=ends)
    return folder


def write_multilingual(folder: Path, languages: Iterable[str]) -> Path:
    """Write a model of NLLB's or M2M's family, with these tokens of languages, into a new folder, and return the folder."""
    folder.mkdir(parents=True)
    pieces = write_pieces(folder / "sentencepiece.bpe.model")
    write_model(folder, [*pieces, *languages])
    return folder


def write_argos(folder: Path, source: str, target: str, *, prefix: str = "") -> Path:
    """Write an unpacked package of Argos Translate into a new folder, and return the folder."""
    (folder / "model").mkdir(parents=True)
    pieces = write_pieces(folder / "sentencepiece.model")
    write_model(folder / "model", [*pieces, *([prefix] if prefix else [])])
    said = {"package_version": "1.0", "from_code": source, "to_code": target, "target_prefix": prefix}
    (folder / "metadata.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
