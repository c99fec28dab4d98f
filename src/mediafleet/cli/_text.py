"""Makes any text safe and short enough to show."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that move the cursor, hide or reorder text, or cannot be encoded."""
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def printable(text: str) -> str:
    """Return the text on one line, with every character that could act on a terminal written as an escape."""
    return "".join(_escape(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - widths of the escapes


def utf8(text: str) -> str:
    """Return the text with what UTF-8 cannot hold (bytes of a foreign file name) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def size_text(size: float) -> str:
    """Return bytes for people: `3.4 MiB`; `?` for a negative number."""
    if size < 0:
        return "?"
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} {_UNITS[-1]}"


def duration_text(seconds: float) -> str:
    """Return a length of time for people: `8.3 s`, `2:05`, `1:02:05`."""
    # As it will be shown: 59.96 is 60.0 with one digit, and that is a minute.
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with their columns aligned, for where no terminal draws a table."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def moment_text(at_ms: int) -> str:
    """Return a moment for people, in the local time zone: `2026-11-21 19:40:05 +0100`."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def name_reason(name: str, reason: str) -> str:
    """Return a line that says of what the reason is, once: some reasons begin with it."""
    return reason if reason.startswith(f"{name} ") else f"{name}: {reason}"
