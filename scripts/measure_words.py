"""Count the wrong words of a recognizer on recordings with known texts; print one table.

    python scripts/measure_words.py FOLDER [--recognizer NAME] [--voice-activity NAME] [--language en]

FOLDER has recordings and `refs.json`, an object from file name without ending to text, in lower case without punctuation.
Nothing is downloaded; needs the test dependencies.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from mediafleet.engines import EngineRegistry, Need, Role, load_engine
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.spoken import recognize_spans
from mediafleet.engines.voice_activity import find_speech

if TYPE_CHECKING:
    from mediafleet.engines.audio import Audio

ENDINGS = {".wav", ".flac", ".mp3", ".opus", ".m4a"}


def read_audio(path: Path) -> Audio:
    """Return the first audio track as `(samples,)` float32, 16 kHz, mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


def normalize(text: str) -> str:
    """Return a text as references are written: lower case, letters, digits and apostrophes."""
    return " ".join(re.sub(r"[^\w' ]+", " ", text.lower()).split())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recognizer", default="")
    parser.add_argument("--voice-activity", default="")
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    registry = EngineRegistry.installed()
    hearing: Any = _load(registry, Need(Role.VOICE_ACTIVITY), options.voice_activity)
    recognizer: Any = _load(registry, Need(Role.RECOGNIZE, options.language), options.recognizer)
    references: dict[str, str] = json.loads((options.folder / "refs.json").read_text(encoding="utf-8"))
    paths = [path for path in sorted(options.folder.iterdir()) if path.suffix in ENDINGS and path.stem in references]
    table = Table("recording", "words", "wrong", "rate", "speed", title="Wrong words")
    total = wrong = 0
    for path in (path for path in paths if path.stem.startswith(options.language)):
        began, audio = time.process_time(), read_audio(path)
        heard = recognize_spans(recognizer, audio, find_speech(hearing, audio), language=options.language)
        took = time.process_time() - began
        count = count_wrong(references[path.stem], heard.text)
        words = len(references[path.stem].split())
        total, wrong = total + words, wrong + count
        speed = f"{took / (len(audio) / RATE_HZ):.2f}"
        table.add_row(path.stem, str(words), str(count), f"{100 * count / words:.0f} %", speed)
    table.add_row("all", str(total), str(wrong), f"{100 * wrong / max(1, total):.1f} %", "")
    Console().print(table)
    print("Speed: seconds of processor time a second of sound.")


def _load(registry: EngineRegistry, need: Need, adapter: str) -> object:
    offer = registry.find(need, adapter=adapter)
    return load_engine(registry.get(offer.adapter), offer)


def count_wrong(reference: str, heard: str) -> int:
    """Return substitutions, deletions and insertions."""
    jiwer: Any = import_module("jiwer")
    result = jiwer.process_words(normalize(reference), normalize(heard) or "-")
    return int(result.substitutions + result.deletions + result.insertions)


if __name__ == "__main__":
    main()
