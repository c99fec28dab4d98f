"""All connections of an instance, by the secret word that their client knows, from negotiation to a while after the end."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable

from mediafleet.doors.signalr.connection import Connection, Phase
from mediafleet.doors.signalr.hub import Hub, Methods
from mediafleet.doors.signalr.session import Session
from mediafleet.ops.settings import SignalrSettings

SOCKETS, EVENTS, POLLING = "WebSockets", "ServerSentEvents", "LongPolling"
"""The transports, as negotiation names them."""
MOST_LINES = 20_000
"""Negotiated or connected; a client that only negotiates costs as much as one that connects, for its 15 s."""
LINGER_S = 15.0
"""How long a client that polls may come for the last words."""
END_WITHIN_S = 3.0
"""How long calls that run may take when the server stops."""
_WORD_BYTES = 16
_OLD_WORD = re.compile(r"v0-[A-Za-z0-9_-]{22}")
_MS = 1000


class Line:
    """One connection of a client, whatever carries it."""

    def __init__(self, word: str, connection_id: str, *, is_stateful: bool = False) -> None:
        self.word = word
        """What the client puts into `id`: the connection token, or for old clients the connection id."""
        self.connection_id = connection_id
        self.is_stateful = is_stateful
        self.transport = ""
        """Name of the transport, empty before the first has opened, though a body may have come before."""
        self.session: Session | None = None
        self.posting = asyncio.Lock()
        """Bodies are read one after another, in the order in which they came."""
        self._let_go: Callable[[], None] | None = None

    @property
    def is_carried(self) -> bool:
        """Whether a transport, or a poll, is open now."""
        return self._let_go is not None

    @property
    def is_spent(self) -> bool:
        """Whether its socket is gone and no other can carry it on."""
        session = self.session
        if self.transport != SOCKETS or session is None or self.is_carried:
            return False
        return session.machine.phase is not Phase.PARTED

    def carry(self, let_go: Callable[[], None]) -> None:
        """Take the line over for a transport; the one before is told to let go."""
        if self._let_go:
            self._let_go()
        self._let_go = let_go

    def drop(self, let_go: Callable[[], None]) -> bool:
        """Give the line back; False if another transport has taken it over."""
        if self._let_go != let_go:
            return False
        self._let_go = None
        return True


class Lines:
    """The lines of an instance; owns the tasks of their sessions."""

    def __init__(self, hub: Hub, settings: SignalrSettings) -> None:
        self._hub, self._settings = hub, settings
        self._methods = Methods(hub)
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_stopping = False

    @property
    def is_full(self) -> bool:
        """Whether no more clients are taken, for now or because the server stops."""
        return self.is_stopping or len(self._lines) >= MOST_LINES

    def negotiate(self, version: int, *, is_stateful: bool) -> Line:
        """Make a line for a client that will connect soon; it is forgotten if that does not happen."""
        if version:
            line = Line(_word(), _word(), is_stateful=is_stateful)
        else:
            word = f"v0-{_word()}"
            line = Line(word, word)
        self._keep(line)
        asyncio.get_running_loop().call_later(self._settings.handshake_ms / _MS, self._forget_unused, line)
        return line

    def find(self, word: str) -> Line | None:
        """Return the line of a word, if there is one."""
        return self._lines.get(word)

    def find_for_socket(self, word: str) -> Line | None:
        """Return the line that a WebSocket asks for, None if there is none.

        A WebSocket needs nothing that was kept for it. So an old client, which comes back to the address that it
        negotiated once, finds a new line there instead of an error that it takes for final.
        """
        if not word:
            line = Line(_word(), _word())
            self._keep(line)
            return line
        line = self.find(word)
        if (line is None or line.is_spent) and _OLD_WORD.fullmatch(word):
            line = Line(word, word)
            self._keep(line)
        return None if line is None or line.is_spent else line

    def open(self, line: Line, transport: str = "") -> Session:
        """Begin the session of a line, with its first transport or before it is known."""
        machine = Connection(
            self._settings,
            self._methods.find,
            now=asyncio.get_running_loop().time(),
            is_stateful=line.is_stateful,
        )
        line.transport = transport
        line.session = session = Session(self._hub, machine, line.connection_id)
        task = asyncio.create_task(session.run(), name=f"signalr-{line.connection_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finish(done, line))
        return session

    def forget(self, line: Line) -> None:
        """Let a line go; its word means nothing from now on."""
        if self._lines.get(line.word) is line:
            del self._lines[line.word]

    def stop(self) -> None:
        """End all sessions because the server goes away; clients come back by themselves."""
        self.is_stopping = True
        for line in list(self._lines.values()):
            if line.session:
                line.session.close(allow_reconnect=True)

    async def end(self) -> None:
        """Wait a little for the last calls, then cancel them."""
        self.stop()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=END_WITHIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _keep(self, line: Line) -> None:
        self._lines[line.word] = line

    def _forget_unused(self, line: Line) -> None:
        if line.session is None:
            self.forget(line)

    def _finish(self, task: asyncio.Task[None], line: Line) -> None:
        self._tasks.discard(task)
        asyncio.get_running_loop().call_later(LINGER_S, self.forget, line)


def _word() -> str:
    return secrets.token_urlsafe(_WORD_BYTES)
