"""Spans of a process, where the environment says where they go."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from mediafleet.ops import traces

if TYPE_CHECKING:
    from contextlib import AsyncExitStack


def start_traces(service: str, stack: AsyncExitStack) -> None:
    """Record spans until the stack ends, where the environment asks for them."""
    if traces.start(service, os.environ):
        # In a thread, since the last spans may take a while to be sent.
        stack.push_async_callback(asyncio.to_thread, traces.stop)
