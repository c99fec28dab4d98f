"""Moments as people type them: with or without an offset."""

from __future__ import annotations

import re
from datetime import datetime

from mediafleet.domain.clock import parse_moment

# Shorter ones may be dates without dashes.
_MILLISECONDS = re.compile(r"\d{10,}")


def read_moment(text: str, option: str) -> int:
    """Return a moment as milliseconds since 1970, 0 for none; without an offset it is local time. Raises InvalidRequest."""
    if _MILLISECONDS.fullmatch(text):
        return parse_moment(int(text), option)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_moment(text, option)
    return parse_moment(moment.astimezone().isoformat(), option)
