"""The `mediafleet` command: one module a command group, imported only when its command runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

USAGE_ERROR = 2
_SERVING = ("up", "scheduler")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    0 means that all that was asked for succeeded, 1 that something failed, 2 that the command line or the
    settings make no sense, 130 that Ctrl-C ended it.
    """
    _repair_streams()
    # Around the imports, too: they take a good part of a second, in which Ctrl-C is as likely as later.
    try:
        return _run_line(argv)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before anything was done.\n")
        return 130


def _run_line(argv: Sequence[str] | None) -> int:
    from cyclopts import CycloptsError  # noqa: PLC0415 - `python -m` and tests import this module for less

    from mediafleet.cli._app import app, hoist_options  # noqa: PLC0415 - as above

    tokens = hoist_options(list(sys.argv[1:] if argv is None else argv))
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        # Here and not at the interpreter's end, where a reader that went away would show as a traceback.
        sys.stdout.flush()
    except CycloptsError as error:
        return _refuse(error, tokens)
    except BrokenPipeError:
        return _leave_pipe()
    # Pages of help and the version come back without a code.
    return code if isinstance(code, int) else 0


def _refuse(error: Exception, tokens: list[str]) -> int:
    from mediafleet.cli._output import Output  # noqa: PLC0415 - only errors need it
    from mediafleet.cli._text import printable  # noqa: PLC0415 - as above

    command = next((token for token in tokens if not token.startswith("-")), "")
    known = getattr(error, "command_chain", None)
    page = " ".join(["mediafleet", *(known or ())]) if command else "mediafleet"
    sentence = " ".join(printable(line) for line in str(error).splitlines() if line.strip())
    sys.stderr.write(f"mediafleet: {sentence}\nSee `{page} --help`.\n")
    # Looked for by hand, since the parser gave up. What follows -- are names of files.
    words = tokens[: tokens.index("--")] if "--" in tokens else tokens
    output = Output(as_json="--json" in words, in_lines=command in _SERVING)
    output.document({"error": {"code": "invalid-request", "message": sentence}})
    return USAGE_ERROR


def _repair_streams() -> None:
    """Make the standard streams safe to write to: they may be closed, or unable to hold a file's name."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_pipe() -> int:
    """End quietly when the reader of our output went away, as other tools do."""
    # The interpreter flushes stdout once more at its end; that must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # What a shell reports of a process that SIGPIPE (13) ended: 128 and the signal's number.
    return 141
