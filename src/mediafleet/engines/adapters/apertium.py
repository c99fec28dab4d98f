"""Apertium as the chain of processes of its mode file, kept running: milliseconds a sentence, and no shell.

The program `apertium` starts the same chain anew for each call, which takes half a second.
"""

from __future__ import annotations

import re
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mediafleet.domain.errors import TaskFailed, TransientFailure
from mediafleet.engines.apertium_modes import read_mode
from mediafleet.engines.translation import Brief, TranslatorFacts, check_pair

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_ANSWER_S = 30.0
"""Longest wait for one sentence; the first one also waits for all dictionaries to be read."""
_END = "[][\n]"
"""Format, as Apertium calls what is passed through: closes a sentence as the program `apertium` does."""
_SPECIAL = re.compile(r"([\\^$/<>{}@\[\]])")
_ESCAPED_OR_BRACKET = re.compile(r"\\(.)|[\[\]]")
_BACKSLASHED = r"\\\1"
_CLOSED = (".", "!", "?", ":", ";", "…")


class Chain:
    """The running processes of one mode. Owned by an `ApertiumEngine`."""

    def __init__(self, commands: Sequence[Sequence[str]], *, answer_s: float = _ANSWER_S) -> None:
        self._answer_s = answer_s
        self._processes: list[subprocess.Popen[bytes]] = []
        previous: IO[bytes] | int = subprocess.PIPE
        for command in commands:
            process = subprocess.Popen(command, stdin=previous, stdout=subprocess.PIPE, bufsize=0)
            # Only the next of the chain may hold this end, or nobody would notice when it dies.
            if not isinstance(previous, int):
                previous.close()
            self._processes.append(process)
            previous = _pipe(process.stdout)
        self._in, self._out = _pipe(self._processes[0].stdin), _pipe(self._processes[-1].stdout)

    def pass_through(self, text: str) -> str:
        """Return what the chain makes of a text without zero bytes.

        Raises:
            TransientFailure: A process has died, or no answer came in time; the chain cannot be used any more.
        """
        deadline = time.monotonic() + self._answer_s
        try:
            self._in.write(text.encode() + b"\0")
        except OSError as error:
            raise TransientFailure("A process of Apertium has ended.") from error
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while not said.endswith(b"\0"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TransientFailure(f"Apertium did not answer in time ({self._answer_s:g} s).")
                piece = self._out.read(65_536)
                if not piece:
                    raise TransientFailure("A process of Apertium has ended.")
                said += piece
        return said[:-1].decode()

    def close(self) -> None:
        """End all processes."""
        self._in.close()
        self._out.close()
        for process in self._processes:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)


class ApertiumEngine:
    """One pair of languages; its chain is started again when it has died."""

    def __init__(self, commands: Sequence[Sequence[str]], pair: str, *, answer_s: float = _ANSWER_S) -> None:
        self.facts = TranslatorFacts((pair,), keeps_glossary=True)
        self._commands = commands
        self._answer_s = answer_s
        self._chain: Chain | None = None

    def translate(self, sentences: Sequence[str], brief: Brief) -> tuple[str, ...]:
        """Translate sentences, each for itself."""
        check_pair(self.facts, brief)
        return tuple(self._translate_one(" ".join(sentence.split()), brief) for sentence in sentences)

    def warm_up(self) -> None:
        """Start the chain and have it read its dictionaries."""
        self._pass_through(f".{_END}")

    def close(self) -> None:
        """End the chain."""
        chain, self._chain = self._chain, None
        if chain:
            chain.close()

    def _translate_one(self, sentence: str, brief: Brief) -> str:
        if not sentence:
            return ""
        # Without its full stop the last word is often taken for something else.
        added = "" if sentence.endswith(_CLOSED) else "."
        said = self._pass_through(f"{escape(sentence, brief.glossary)}{added}{_END}")
        body = said.removesuffix(_END)
        if body == said:
            raise TaskFailed("Apertium lost the end of a sentence.", detail=f"{sentence!r} became {said!r}")
        return unescape(body).removesuffix(added)

    def _pass_through(self, text: str) -> str:
        if self._chain is None:
            self._chain = Chain(self._commands, answer_s=self._answer_s)
        try:
            return self._chain.pass_through(text)
        except TransientFailure:
            self.close()
            raise


def escape(sentence: str, glossary: Mapping[str, str] | None = None) -> str:
    """Return a sentence as Apertium reads it, its terms already as they must come out.

    A term becomes format, which is passed through untouched; words around it are translated as if something stood there.
    """
    terms = {term.casefold(): translation for term, translation in (glossary or {}).items() if term.strip()}
    plain = sentence.replace("\0", "")
    if not terms:
        return _SPECIAL.sub(_BACKSLASHED, plain)
    longest_first = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    pieces = re.split(rf"(?<!\w)({longest_first})(?!\w)", plain, flags=re.IGNORECASE)
    # Every second piece is a term.
    pieces[1::2] = [f"[{_SPECIAL.sub(_BACKSLASHED, terms.get(piece.casefold(), piece))}]" for piece in pieces[1::2]]
    pieces[::2] = [_SPECIAL.sub(_BACKSLASHED, piece) for piece in pieces[::2]]
    return "".join(pieces)


def unescape(text: str) -> str:
    """Return text as people read it: format without brackets, no escapes, single spaces."""
    return " ".join(_ESCAPED_OR_BRACKET.sub(lambda found: found[1] or "", text).split())


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise TaskFailed("A process of Apertium was started without a pipe.")
    return pipe


def load(offer: Offer) -> ApertiumEngine:
    """Start the chain of the mode file that was offered."""
    engine = ApertiumEngine(read_mode(Path(offer.place).read_text(encoding="utf-8")), offer.pairs[0])
    engine.warm_up()
    return engine
