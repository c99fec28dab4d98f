"""The whole history of who led and what leaders wrote, as the store itself saw it."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mediafleet.store.keys import Keys

KEYS = Keys("sched", "0")
_END = "the history ends here"


@dataclass(frozen=True)
class RulesWritten:
    """One write of a leader."""

    version: int
    epoch: int
    instance: str


@dataclass
class History:
    """Every election and every write of rules, in order; complete, since it is all that the store did."""

    elected: list[str] = field(default_factory=list[str])
    """Leaders; the first one's epoch is 1."""
    written: list[RulesWritten] = field(default_factory=list[RulesWritten])

    def note(self, command: str) -> None:
        """Take in one command of a script."""
        words = command.split(" ")
        if words[:2] == ["SET", KEYS.leader]:
            self.elected.append(words[2])
        elif words[:3] == ["HSET", KEYS.config, "version"]:
            fields = dict(zip(words[2::2], words[3::2], strict=True))
            self.written.append(RulesWritten(int(fields["version"]), int(fields["epoch"]), fields["instance"]))

    def check(self) -> None:
        """Hold that each epoch had one leader, that only it wrote then, and that versions only rose."""
        for write in self.written:
            assert self.elected[write.epoch - 1] == write.instance, f"{write} by one that did not lead then"
        versions = [write.version for write in self.written]
        assert versions == list(range(1, len(versions) + 1)), "a version came twice, fell or was left out"
        epochs = [write.epoch for write in self.written]
        assert epochs == sorted(set(epochs)), "an epoch wrote twice, or after a later one"


@contextmanager
def history_of(client: Any) -> Generator[History]:
    """Record in the background while the block runs."""
    history = History()
    with client.monitor() as monitor:

        def listen() -> None:
            for said in monitor.listen():
                if said["command"].startswith(("SET ", "HSET ")):
                    history.note(said["command"])
                elif said["command"] == f"ECHO {_END}":
                    return

        listening = threading.Thread(target=listen, name="history")
        listening.start()
        try:
            yield history
        finally:
            client.echo(_END)
            listening.join()
