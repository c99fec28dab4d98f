"""A job kind with modules, as a package from outside would bring it: Morse code in one language to Morse in another.

Three modules do real small work on text: `recognise` reads Morse, `translate` looks words up, `synthesise` writes
Morse. `site_folder` makes a folder that, on `PYTHONPATH`, installs the kind for the processes of a test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mediafleet.domain.errors import TaskFailed
from mediafleet.domain.job import Job
from mediafleet.domain.modules import Module, Request, make_chain
from mediafleet.domain.plan import FinishedTask, Step, TaskResult
from mediafleet.kinds import Kind, TaskContext
from mediafleet.kinds.chains import plan_chain
from mediafleet.kinds.seam import DetectContext, Detected

OFFERS = "MEDIAFLEET_TEST_OFFERS"
"""Variable with the capabilities that a node of a test has, beside those of every node; spaces between them."""
SUPPORT = Path(__file__).parents[1]
LOOK_EVERY_S = 0.02

MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        strict=True,
    )
)
LETTERS = {code: letter for letter, code in MORSE.items()}
WORDS = {
    ("en", "es"): {"good": "buen", "light": "luz", "water": "agua", "the": "el", "hand": "mano", "milk": "leche"},
    ("en", "de"): {"good": "gut", "light": "licht", "water": "wasser", "hand": "hand", "milk": "milch"},
}


class SpeechParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a speech job."""

    source: str = "en"
    to: str = "es"
    feature: str = "synthesise"
    """The module whose result is asked for."""
    gate: str = ""
    """A file that must exist before `recognise` ends: lets a test decide when."""


MODULES = (
    Module("recognise", needs=lambda params: (f"recognise:{params['source']}",)),
    Module("translate", ("recognise",), needs=lambda params: (f"mt:{params['source']}>{params['to']}",)),
    Module("synthesise", ("translate",), needs=lambda params: (f"tts:{params['to']}",), weight=2.0),
)


def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """One chain, as long as the feature that is asked for needs it."""
    feature = str(job.params["feature"])
    return plan_chain(make_chain(MODULES, Request((feature,), job.params, job.inputs)), finished)


async def recognise(context: TaskContext) -> TaskResult:
    """Read Morse; `/` parts words."""
    gate = str(context.spec.payload["gate"])
    while gate and not Path(gate).exists():  # noqa: ASYNC240 - another process makes the file
        context.report(0.5)
        await asyncio.sleep(LOOK_EVERY_S)
    codes = (await _read(context)).split(" / ")
    try:
        text = " ".join("".join(LETTERS[code] for code in word.split()) for word in codes)
    except KeyError as error:
        raise TaskFailed(f"{error.args[0]!r} is no Morse code.") from error
    return await _publish(context, "text.txt", text, {"words": len(codes)})


async def translate(context: TaskContext) -> TaskResult:
    """Look each word up."""
    payload = context.spec.payload
    words = WORDS[payload["source"], payload["to"]]
    text = " ".join(words[word] for word in (await _read(context)).split())
    return await _publish(context, "text.txt", text, {"heard": payload["results"]["recognise"]["words"]})


async def synthesise(context: TaskContext) -> TaskResult:
    """Write Morse."""
    text = await _read(context)
    context.report(0.5, stage="speaking")
    code = " / ".join(" ".join(MORSE[letter] for letter in word) for word in text.split())
    return await _publish(context, "speech.morse", code, {"text": text, **context.spec.payload["results"]["translate"]})


async def _read(context: TaskContext) -> str:
    (ref,) = context.spec.inputs
    return (await context.fetch(ref)).read_text()


async def _publish(context: TaskContext, name: str, text: str, result: dict[str, Any]) -> TaskResult:
    path = context.workspace / name
    path.write_text(text)
    return TaskResult(result, (await context.publish(path, name=name),))


async def detect(_: DetectContext) -> Detected:
    """Find what the test says that this node has."""
    return Detected(frozenset(os.environ.get(OFFERS, "").split()))


KIND = Kind(
    name="speech",
    version=1,
    params=SpeechParams,
    plan=plan,
    handlers={"recognise": recognise, "translate": translate, "synthesise": synthesise},
    summary="Say in Morse what was said in another language's Morse.",
    detect=detect,
    modules=MODULES,
)


def spoken(text: str) -> str:
    """Return a text in Morse."""
    return " / ".join(" ".join(MORSE[letter] for letter in word) for word in text.split())


def site_folder(folder: Path) -> Mapping[str, str]:
    """Make a folder with the record of an installed package that offers this kind; return the variables to set."""
    record = folder / "mediafleet_kind_speech-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: mediafleet-kind-speech\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[mediafleet.kinds]\nspeech = tests_support.speech_kind:KIND\n")
    present = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), str(SUPPORT), present]))}
