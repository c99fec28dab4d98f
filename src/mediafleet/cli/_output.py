"""What a command prints: people get text and tables, programs get exactly one JSON document."""

from __future__ import annotations

import json
import sys
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from mediafleet.cli._text import aligned, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mediafleet.domain.errors import MediafleetError


class Output:
    """The two streams of one command.

    Results go to standard output, all else to standard error; with `json`, standard output carries one document.
    """

    def __init__(self, *, as_json: bool = False, in_lines: bool = False) -> None:
        """Prepare the streams; nothing is printed yet.

        Args:
            in_lines: Programs read line by line, so a document is one line like any other.
        """
        self.as_json = as_json
        self._indent = None if in_lines else 2
        self._answered = False

    @cached_property
    def console(self) -> Console:
        """A rich console for what people watch; it takes no markup from names."""
        from rich.console import Console  # noqa: PLC0415 - pipes and --json do without it

        stream = sys.stderr if self.as_json else sys.stdout
        return Console(file=stream, markup=False, highlight=False, emoji=False)

    @property
    def is_live(self) -> bool:
        """Whether somebody watches a terminal that can be redrawn."""
        stream = sys.stderr if self.as_json else sys.stdout
        return stream.isatty() and self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, text: str) -> None:
        """Print a line of the result for people; programs get the document instead."""
        if not self.as_json:
            # Flushed line by line: a pipe is buffered in blocks, and who follows it would see nothing for minutes.
            sys.stdout.write(_lines(text) + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a line beside the result, to standard error."""
        sys.stderr.write(_lines(text) + "\n")
        sys.stderr.flush()

    def document(self, value: object) -> None:
        """Print the one JSON document, if JSON was asked for."""
        if not self.as_json:
            return
        # Noted before it is written: one that broke off halfway must not be followed by a second.
        self._answered = True
        # The standard encoder: it can write file names that are not UTF-8, as escapes.
        json.dump(msgspec.to_builtins(value), sys.stdout, indent=self._indent)
        sys.stdout.write("\n")
        sys.stdout.flush()

    def line(self, value: object, text: str) -> None:
        """Print one item of an endless list: a line of text, or of JSON."""
        if self.as_json:
            sys.stdout.write(json.dumps(msgspec.to_builtins(value)) + "\n")
            sys.stdout.flush()
        else:
            self.say(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        """Print a table: drawn on a terminal, aligned lines in a pipe.

        Args:
            empty: Said where there are no rows.
        """
        if self.as_json:
            return
        shown = [[printable(cell) for cell in row] for row in rows]
        if not shown:
            self.say(empty)
        elif self.is_live:
            self._draw(header, shown)
        else:
            self.say("\n".join(aligned([list(header), *shown])))

    def fail(self, error: MediafleetError) -> None:
        """Say what went wrong in one sentence; programs also get it as the document if they have none yet."""
        self.note(f"mediafleet: {error.message}")
        if not self._answered:
            self.document({"error": {"code": error.code, "message": error.message}})

    def _draw(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table  # noqa: PLC0415 - only terminals need it
        from rich.text import Text  # noqa: PLC0415 - as above

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in header:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)


def _lines(text: str) -> str:
    """Return text whose lines are ours and whose characters are safe."""
    return "\n".join(printable(line) for line in text.split("\n"))
