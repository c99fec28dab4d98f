"""The process of one engine: `python -m mediafleet.engines.host`, spoken to over standard input and output.

It loads what the first request names, answers one request after the other, and ends at the end of its input. A library that
crashes takes this process along, and nothing else.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import IO, TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidRequest, MediafleetError, TaskFailed, TransientFailure
from mediafleet.engines.adapter import load_engine
from mediafleet.engines.desk import Desk
from mediafleet.engines.registry import EngineRegistry
from mediafleet.engines.wire import (
    LENGTH_BYTES,
    Answer,
    Done,
    Failed,
    Load,
    Part,
    Request,
    Synthesize,
    pack_frame,
    read_length,
    read_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def limit_memory(most_bytes: int) -> None:
    """Bound what this process may reserve to write to, on Linux; 0 for no bound.

    Not the address space: drivers of graphics cards reserve terabytes of it and never touch them.
    """
    if not most_bytes or sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


class Host:
    """One engine behind two pipes."""

    def __init__(self, asked: IO[bytes], answered: IO[bytes]) -> None:
        self._asked = asked
        self._answered = answered
        self._desk: Desk | None = None

    def run(self) -> None:
        """Answer until nobody asks any more."""
        while body := self._read():
            for answer in self._answer(body):
                self._answered.write(pack_frame(answer))
                self._answered.flush()
        if self._desk:
            self._desk.close()

    def _read(self) -> bytes:
        head = self._asked.read(LENGTH_BYTES)
        return self._asked.read(read_length(head)) if len(head) == LENGTH_BYTES else b""

    def _answer(self, body: bytes) -> Iterator[Answer]:
        try:
            yield from self._work(read_request(body))
        except MediafleetError as error:
            yield Failed(error.info())
        except MemoryError:
            yield Failed(TransientFailure("The engine needs more memory than it may have.").info())
        # Libraries raise what they like; the engine lives on, and the request fails.
        except Exception as error:  # noqa: BLE001 - the boundary between libraries and us
            yield Failed(TaskFailed(f"The engine failed: {error}.", detail=repr(error)).info())

    def _work(self, request: Request) -> Iterator[Answer]:
        if isinstance(request, Load):
            limit_memory(request.memory_bytes)
            adapter = EngineRegistry.installed().get(request.offer.adapter)
            self._desk = Desk(load_engine(adapter, request.offer))
            yield Done(_raw(self._desk.facts))
            return
        if self._desk is None:
            raise InvalidRequest("No engine is loaded yet.")
        if isinstance(request, Synthesize):
            for piece in self._desk.answer_in_parts(request):
                yield Part(_raw(piece))
            yield Done(_raw(None))
            return
        yield Done(_raw(self._desk.answer(request)))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def main() -> None:
    """Take the pipes away from whatever a library may print, and serve."""
    asked, answered = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        Host(asked, answered).run()
    except BrokenPipeError:
        # Whoever asked is gone, and with it the reason to be here.
        os._exit(1)


if __name__ == "__main__":
    main()
