"""Subtitle recordings with known texts through a fleet of this machine, and hold what comes out to its promises; print tables.

    python scripts/measure_subtitles.py FOLDER [--language en] [--to es] [--pieces 6]

FOLDER has recordings and `refs.json`, as `measure_words.py` takes them. Counted are wrong words, and cues that break a rule; each
file is opened by pysubs2 and by FFmpeg. Then all recordings are joined into one, which is recognized as one piece and as several.
The exit code is 1 if a rule is broken, a file does not open, or more words are wrong than there may be. Needs the test dependencies.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pysubs2
from pysubs2.exceptions import Pysubs2Error
from rich.console import Console
from rich.table import Table

from measure_words import ENDINGS, count_wrong
from mediafleet.kinds.subtitle.check import check_cues
from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.subtitle.rules import Preset, rules_for
from mediafleet.kinds.transcode.program import find_ffmpeg

MOST_WRONG, MOST_APART = 0.30, 0.01
"""Share of words that may be wrong in recordings one by one, and by how much one piece and several of all may differ in that."""
FORMATS = ("srt", "vtt", "ass", "ttml", "sub", "json")


@dataclass(frozen=True)
class Found:
    """What became of one recording."""

    words: str
    """As recognized."""
    cues: int
    broken: list[str]
    """Rules that cues break, in any language."""
    unreadable: list[str]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--to", default="")
    parser.add_argument("--pieces", type=int, default=6)
    options = parser.parse_args()
    references: dict[str, str] = json.loads((options.folder / "refs.json").read_text(encoding="utf-8"))
    known = [
        path
        for path in sorted(options.folder.iterdir())
        if path.suffix in ENDINGS and path.stem in references and path.stem.startswith(options.language)
    ]
    with tempfile.TemporaryDirectory(prefix="mediafleet-subtitles-") as name:
        work = Path(name)
        results = subtitle(known, work / "each", work / "data", options)
        faults = print_table({path.stem: (references[path.stem], results[path.stem]) for path in known})
        wrong = sum(count_wrong(references[path.stem], results[path.stem].words) for path in known)
        total = sum(len(references[path.stem].split()) for path in known)
        if wrong > MOST_WRONG * total:
            faults.append(f"More than {100 * MOST_WRONG:.0f} % of {total} words are wrong.")
        joined = join(known, work / "joined.wav")
        reference = " ".join(references[path.stem] for path in known)
        ways = {
            f"{count} piece(s)": subtitle([joined], work / f"in-{count}", work / "data", options, f"pieces={count}")
            for count in (1, options.pieces)
        }
        rows = {f"joined, {way}": (reference, found[joined.stem]) for way, found in ways.items()}
        faults += print_table(rows)
        one, several = (wrong_share(*row) for row in rows.values())
        if abs(one - several) > MOST_APART:
            faults.append(f"One piece and several differ by more than {100 * MOST_APART:.0f} point in wrong words.")
        print("\n".join(faults))
        return 1 if faults else 0


def subtitle(paths: list[Path], out: Path, data: Path, options: argparse.Namespace, *params: str) -> dict[str, Found]:
    """Return what the command makes of each file, by its name without ending."""
    words = [word for param in params for word in ("--param", param)]
    words += ["--to", options.to] if options.to else []
    command = [sys.executable, "-m", "mediafleet.cli", "subtitle", *map(str, paths), "--from", options.language]
    command += ["--format", ",".join(FORMATS), "--out", str(out), "--data", str(data), "--json", *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    listed: list[dict[str, Any]] = json.loads(ran.stdout)
    for one in listed:
        if one["error"]:
            raise SystemExit(f"{one['input']}: {one['error']['message']}")
    return {Path(one["input"]).stem: look_at([Path(path) for path in one["outputs"]], options) for one in listed}


def look_at(outputs: list[Path], options: argparse.Namespace) -> Found:
    """Hold the files of one recording to the rules."""
    transcripts = [
        msgspec.json.decode(path.read_bytes(), type=Transcript) for path in outputs if path.suffix == ".json"
    ]
    broken = [
        f"{one.language}: {violation.sentence}"
        for one in transcripts
        for violation in check_cues(one.cues, rules_for(Preset.NETFLIX, one.language))
    ]
    spoken = next(one for one in transcripts if one.language == options.language)
    heard = " ".join(word.text for word in spoken.words)
    return Found(heard, len(spoken.cues), broken, [fault for path in outputs if (fault := open_file(path))])


def open_file(path: Path) -> str:
    """Return why a file of subtitles does not open, "" where it does."""
    if path.suffix == ".json":
        return ""
    try:
        if not pysubs2.load(str(path), fps=24).events:
            return f"{path.name}: pysubs2 finds nothing in it"
    except (Pysubs2Error, ValueError) as error:
        return f"{path.name}: {error}"
    if path.suffix == ".ttml":
        # FFmpeg writes that and does not read it.
        return ""
    command = [find_ffmpeg().path, "-v", "error", "-i", str(path), "-f", "srt", "-"]
    ran = subprocess.run(command, capture_output=True, check=False)
    is_good = ran.returncode == 0 and ran.stdout and not ran.stderr
    return "" if is_good else f"{path.name}: {ran.stderr.decode(errors='replace')[:200]}"


def join(paths: list[Path], output: Path) -> Path:
    """Put recordings one after the other into one file."""
    inputs = [word for path in paths for word in ("-i", str(path))]
    parts = "".join(
        f"[{number}:a]aresample=16000,aformat=channel_layouts=mono[p{number}];" for number in range(len(paths))
    )
    chain = parts + "".join(f"[p{number}]" for number in range(len(paths))) + f"concat=n={len(paths)}:v=0:a=1"
    subprocess.run([find_ffmpeg().path, "-v", "error", *inputs, "-filter_complex", chain, str(output)], check=True)
    return output


def print_table(rows: dict[str, tuple[str, Found]]) -> list[str]:
    """Print a line each; return what is wrong."""
    table = Table("recording", "words", "wrong", "rate", "cues", "rules broken", "do not open")
    total = wrong = 0
    for name, (reference, found) in rows.items():
        words, count = len(reference.split()), count_wrong(reference, found.words)
        total, wrong = total + words, wrong + count
        cells = [str(words), str(count), f"{100 * count / words:.1f} %", str(found.cues)]
        table.add_row(name, *cells, str(len(found.broken)), str(len(found.unreadable)))
    table.add_row("all", str(total), str(wrong), f"{100 * wrong / max(1, total):.1f} %")
    Console().print(table)
    return [f"{name}: {fault}" for name, (_, found) in rows.items() for fault in [*found.broken, *found.unreadable]]


def wrong_share(reference: str, found: Found) -> float:
    """Return how many of the words of a recording are wrong, as a share."""
    return count_wrong(reference, found.words) / len(reference.split())


if __name__ == "__main__":
    sys.exit(main())
