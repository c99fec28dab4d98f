"""How a script of a kind is run: in an isolated interpreter that may have been started before there was work for it.

Such a script imports what it needs, then reads one line from standard input, which is a JSON list of its arguments,
does its work once, and ends. At the end of standard input without a line it ends without a word: it is not needed.

On Linux the script runs once up to that line, and a child is forked from there for each piece of work. So what comes before
it is not to depend on who does the work, and a script that has started a thread by then, or reads otherwise than by
`sys.stdin.readline()`, is started from nothing each time.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_BYTES = 32 * 1024
"""Of a line. An empty pipe takes it whole, so whoever writes it never waits for the script."""


def script_command(script: Path) -> list[str]:
    """Return the command that starts a script."""
    # Isolated (-I): neither the folder of the script nor PYTHONPATH may put a module in the place of another.
    return [sys.executable, "-I", str(script)]


def script_line(arguments: Sequence[str]) -> bytes:
    """Return the line that tells a script its arguments.

    Raises:
        InvalidRequest: They are longer than a pipe takes at once.
    """
    # As ASCII, in which also the odd bytes of a path have a spelling.
    line = json.dumps(list(arguments)).encode("ascii") + b"\n"
    if len(line) > MOST_BYTES:
        raise InvalidRequest(f"The arguments of a script are {len(line):,} bytes, more than {MOST_BYTES:,}.")
    return line
