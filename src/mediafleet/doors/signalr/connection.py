"""One hub connection as a machine: bytes and times in; events and messages out. It knows no socket and no clock.

    SHAKING → OPEN ⇄ PARTED
       │       └───┬───┘
       │        LEAVING
       └───────────┴→ CLOSED

Times are seconds of any monotonic clock. After each call the owner looks at `take_events`, `take_output` and `deadline`.
The client's calls are handled one by one: `Invoked` is told again only after `complete`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mediafleet.doors.signalr import messages as m
from mediafleet.doors.signalr.codecs import Codec, Unwritable, open_codec
from mediafleet.doors.signalr.framing import RecordSplitter
from mediafleet.doors.signalr.handshake import (
    STATEFUL_VERSION,
    TOO_LATE,
    Agreement,
    answer_handshake,
    read_handshake,
)
from mediafleet.doors.signalr.hub import BindingFault, Method
from mediafleet.doors.signalr.messages import HubMessage, ProtocolFault
from mediafleet.doors.signalr.replay import ReceivedCount, SentLog
from mediafleet.ops.settings import SignalrSettings

ACK_AFTER_S = 1.0
"""How long received messages may wait for an acknowledgement: one for many is enough."""
MOST_WAITING_CALLS = 2
"""Beyond the one that runs; what comes behind them is not read, and the client is slowed down by its own connection."""
MS = 1000

CLOSED_BY_FAULT = "Connection closed with an error."
SILENT = f"{CLOSED_BY_FAULT} Nothing was heard of the client for too long."
SLOW = f"{CLOSED_BY_FAULT} The client does not read what it is sent."
LOST = "The client did not come back."


class Phase(Enum):
    """How far a connection has come."""

    SHAKING = "the client has not said which encoding it speaks"
    OPEN = "messages go both ways"
    PARTED = "the transport is gone, and the client may come back with another"
    LEAVING = "the client is gone for good; calls that came before are still handled"
    CLOSED = "over; what is queued may still be sent"


@dataclass(frozen=True)
class Connected:
    """The handshake is done."""


@dataclass(frozen=True)
class Invoked:
    """Handle a call, then `complete` it."""

    method: Method
    arguments: tuple[Any, ...]
    invocation_id: str | None


@dataclass(frozen=True)
class Closed:
    """The connection is over; told once."""

    error: str


Event = Connected | Invoked | Closed


class Connection:
    """A client's connection, over all transports that carry it one after another."""

    def __init__(
        self,
        settings: SignalrSettings,
        find_method: Callable[[str], Method | None],
        *,
        now: float,
        is_stateful: bool = False,
        is_text_only: bool = False,
    ) -> None:
        """Begin with a transport that has just opened.

        Args:
            settings: Limits and intervals.
            find_method: Returns the method of a name.
            now: Seconds.
            is_stateful: Whether a stateful reconnect was negotiated.
            is_text_only: See the attribute.
        """
        self.phase = Phase.SHAKING
        self._settings = settings
        self._find_method = find_method
        self._is_stateful = is_stateful
        self.is_text_only = is_text_only
        """Set by the owner before the handshake: the transport cannot carry MessagePack."""
        self._shaking: RecordSplitter | None = RecordSplitter(settings.message_bytes)
        self._codec: Codec = open_codec("json", limit=settings.message_bytes)
        self._events: list[Event] = []
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._running: Invoked | None = None
        self._waiting: deque[m.Invocation | m.StreamInvocation] = deque()
        self._sent, self._received = SentLog(settings.replay_bytes), ReceivedCount()
        self._awaits_sequence = False
        self._is_mute = False
        self._farewell = ""
        self._ack_at: float | None = None
        self._since = self._heard_at = self._spoke_at = now

    # What the owner looks at after each call.

    @property
    def is_binary(self) -> bool:
        """Whether what is sent needs binary frames."""
        return self._codec.is_binary

    @property
    def can_resume(self) -> bool:
        """Whether the client may come back to this connection with another transport, and miss nothing."""
        return self._is_stateful and self.phase in {Phase.OPEN, Phase.PARTED} and self._sent.is_whole

    @property
    def wants_input(self) -> bool:
        """Whether to read on; False while calls wait, and the client is not taken for silent then."""
        return self.phase in {Phase.SHAKING, Phase.OPEN} and self._has_room

    @property
    def deadline(self) -> float | None:
        """When to call `tick` at the latest, None if there is no need to."""
        if self.phase is Phase.SHAKING:
            return self._since + self._settings.handshake_ms / MS
        if self.phase is Phase.PARTED:
            return self._since + self._settings.client_timeout_ms / MS
        if self.phase is not Phase.OPEN:
            return None
        times = [self._ping_at]
        if self.wants_input:
            times.append(self._silent_at)
        if self._ack_at is not None:
            times.append(self._ack_at)
        return min(times)

    def take_events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def has_output(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._output)

    def take_output(self) -> list[bytes]:
        """Return what is to be sent, in order, each with its end or length; it counts as sent."""
        output, self._output = self._output, []
        self._output_bytes = 0
        return output

    def take_one(self) -> bytes:
        """Return the first message that is to be sent, and only that; empty if there is none."""
        if not self._output:
            return b""
        first = self._output.pop(0)
        self._output_bytes -= len(first)
        return first

    # What happens to it.

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the transport, in any pieces."""
        if self.phase not in {Phase.SHAKING, Phase.OPEN}:
            return
        self._heard_at = now
        try:
            if self._shaking is not None:
                self._shaking.feed(data)
                self._shake(self._shaking, now)
            else:
                self._codec.feed(data)
        except ProtocolFault as fault:
            self._fail(str(fault), now)
        self._pump(now)

    def tick(self, now: float, *, late_s: float = 0.0) -> None:
        """Do what is due.

        Args:
            now: Seconds.
            late_s: How much later than `deadline` this is, where that may be the fault of this process: what the client
                sent meanwhile was not read yet, so it is not taken for silent so soon.
        """
        self._heard_at += late_s
        if self.phase is Phase.SHAKING and now >= self._since + self._settings.handshake_ms / MS:
            self._refuse(TOO_LATE, now)
        elif self.phase is Phase.PARTED and now >= self._since + self._settings.client_timeout_ms / MS:
            self._leave(LOST, now)
        elif self.phase is Phase.OPEN:
            self._tick_open(now)

    def complete(self, now: float, *, result: Any = m.NOTHING, error: str | None = None) -> None:
        """End the call that runs; the next that waits begins."""
        running, self._running = self._running, None
        if running is None or self.phase is Phase.CLOSED:
            return
        if not self.wants_input:
            self._heard_at = now
        if running.invocation_id is not None:
            self._answer(running.invocation_id, now, result=result, error=error)
        self._pump(now)

    def call(self, target: str, arguments: Sequence[Any], now: float) -> bool:
        """Queue a call of a method of the client; False if it is gone, or too slow and therefore sent away now.

        Raises:
            Unwritable: An argument has no form in the encoding; nothing was queued.
        """
        if self.phase not in {Phase.OPEN, Phase.PARTED}:
            return False
        self._send(m.Invocation(target, arguments), now)
        return self.phase in {Phase.OPEN, Phase.PARTED}

    def close(self, error: str | None, now: float, *, allow_reconnect: bool = False) -> None:
        """End the connection from this side; the client is told, if it can be."""
        if self.phase is Phase.OPEN:
            self._send(m.Close(error, allow_reconnect), now)
        self._end(error or "")

    def part(self, now: float) -> None:
        """The transport is gone: wait for another if the client may come back, else do what it has asked for, and end."""
        self._is_mute = True
        self.take_output()
        if self.can_resume and self.phase is Phase.OPEN:
            self.phase = Phase.PARTED
            self._since = now
            self._awaits_sequence = True
            # What was not read was not counted either, so it comes again.
            self._codec.forget()
        elif self.phase is Phase.OPEN:
            self._leave("", now)
        elif self.phase is Phase.SHAKING:
            self._end("")

    def leave(self, now: float) -> None:
        """The client said goodbye by a means of the transport: it will not come back to this connection."""
        if self.phase is Phase.OPEN:
            self._leave("", now)

    def resume(self, now: float) -> None:
        """Another transport carries the connection of a client that was PARTED: repeat what it may not have."""
        self.phase = Phase.OPEN
        self._is_mute = False
        self._heard_at = self._spoke_at = now
        # Past the limit of the queue: what is kept has a limit of its own.
        self._output = [self._codec.encode(m.Resume(self._sent.first)), *self._sent.replay()]

    # How messages are read.

    def _shake(self, splitter: RecordSplitter, now: float) -> None:
        record = splitter.next()
        if record is None:
            return
        agreement = read_handshake(record, is_text_only=self.is_text_only)
        if agreement.refusal:
            self._refuse(agreement.refusal, now)
            return
        self._shaking = None
        self._agree(agreement, now)
        # The client may have sent more at once.
        self._codec.feed(splitter.rest())

    def _agree(self, agreement: Agreement, now: float) -> None:
        self._codec = open_codec(agreement.protocol, limit=self._settings.message_bytes)
        self._is_stateful = self._is_stateful and agreement.version >= STATEFUL_VERSION
        self.phase = Phase.OPEN
        self._put(answer_handshake(), now)
        self._events.append(Connected())

    def _pump(self, now: float) -> None:
        try:
            while self._step(now):
                pass
        except ProtocolFault as fault:
            self._fail(str(fault), now)

    def _step(self, now: float) -> bool:
        """Begin a call or read a message; False if there is neither, for now."""
        if self.phase in {Phase.SHAKING, Phase.CLOSED}:
            return False
        if self._waiting and self._running is None:
            self._begin(self._waiting.popleft(), now)
            return True
        if not self._has_room:
            return False
        if (message := self._codec.next()) is not None:
            self._handle(message, now)
            return True
        if self.phase is Phase.LEAVING and self._running is None:
            self._end(self._farewell)
        return False

    def _handle(self, message: HubMessage, now: float) -> None:
        if self._awaits_sequence:
            # All else was sent before the client knew of the new transport, and comes again.
            if isinstance(message, m.Resume):
                self._awaits_sequence = False
                self._received.align(message.sequence_id)
            return
        if isinstance(message, m.COUNTED) and not self._is_new(now):
            return
        match message:
            case m.Invocation() | m.StreamInvocation():
                self._waiting.append(message)
            case m.Close():
                self._codec.forget()
                self._leave(message.error or "", now)
            case m.Ack():
                self._sent.acknowledge(message.sequence_id)
            case m.Resume() if self._is_stateful:
                self._received.align(message.sequence_id)
            case _:
                # Items and completions of streams that there are none of, results that nobody waits for, and the wish
                # to cancel a call, which has its completion anyway.
                pass

    def _is_new(self, now: float) -> bool:
        if not self._is_stateful:
            return True
        if self._ack_at is None:
            self._ack_at = now + ACK_AFTER_S
        return self._received.is_new()

    def _begin(self, call: m.Invocation | m.StreamInvocation, now: float) -> None:
        """Hand a call on, or answer it where there is no such method."""
        method = self._find_method(call.target)
        refusal, arguments = "", ()
        if method is None:
            refusal = f"Unknown hub method '{call.target}'"
        elif isinstance(call, m.StreamInvocation):
            refusal = (
                f"The client attempted to invoke the non-streaming '{call.target}' method with a streaming invocation."
            )
        elif call.stream_ids:
            refusal = f"Failed to invoke '{call.target}' due to an error on the server. Client sent {len(call.stream_ids)} stream(s), Hub method expects 0."
        else:
            try:
                arguments = method.bind(call.arguments)
            except BindingFault as fault:
                refusal = (
                    f"Failed to invoke '{call.target}' due to an error on the server. InvalidDataException: {fault}"
                )
        if method is not None and not refusal:
            self._running = Invoked(method, arguments, call.invocation_id)
            self._events.append(self._running)
        elif call.invocation_id is not None:
            self._answer(call.invocation_id, now, error=refusal)

    # How messages are sent.

    def _answer(self, invocation_id: str, now: float, *, result: Any = m.NOTHING, error: str | None = None) -> None:
        try:
            self._send(m.Completion(invocation_id, result, error), now)
        except Unwritable:
            sentence = "Failed to invoke the method due to an error on the server: its result cannot be written."
            self._send(m.Completion(invocation_id, error=sentence), now)

    def _send(self, message: HubMessage, now: float) -> None:
        data = self._codec.encode(message)
        if self._is_stateful and isinstance(message, m.COUNTED):
            self._sent.add(data)
        if self.phase is Phase.PARTED:
            # It goes out when the client is back, if all that it needs is still there.
            if not self._sent.is_whole:
                self._end(SLOW)
        elif not self._is_mute:
            self._put(data, now)

    def _put(self, data: bytes, now: float) -> None:
        self._output.append(data)
        self._output_bytes += len(data)
        self._spoke_at = now
        if self._output_bytes > self._settings.queue_bytes:
            self._output = [self._codec.encode(m.Close(SLOW, allow_reconnect=True))]
            self._end(SLOW)

    @property
    def _has_room(self) -> bool:
        return len(self._waiting) < MOST_WAITING_CALLS

    @property
    def _ping_at(self) -> float:
        return self._spoke_at + self._settings.ping_ms / MS

    @property
    def _silent_at(self) -> float:
        return self._heard_at + self._settings.client_timeout_ms / MS

    def _tick_open(self, now: float) -> None:
        if self.wants_input and now >= self._silent_at:
            self._fail_with(SILENT, now)
            return
        if self._ack_at is not None and now >= self._ack_at:
            self._ack_at = None
            self._put(self._codec.encode(m.Ack(self._received.latest)), now)
        if now >= self._ping_at:
            # One that still waits to be sent says as much.
            if not self._output:
                self._put(self._codec.encode(m.Ping()), now)
            self._spoke_at = now

    # How it ends.

    def _fail(self, sentence: str, now: float) -> None:
        """End because of what the client sent."""
        if self.phase is Phase.SHAKING:
            self._refuse(sentence, now)
        else:
            self._fail_with(f"{CLOSED_BY_FAULT} {sentence}", now)

    def _fail_with(self, error: str, now: float) -> None:
        if not self._is_mute:
            # Whatever was wrong with this connection, the next may be right: workers come back by themselves.
            self._put(self._codec.encode(m.Close(error, allow_reconnect=True)), now)
        self._end(error)

    def _refuse(self, reason: str, now: float) -> None:
        # Without a message Close: no encoding was agreed on.
        self._put(answer_handshake(reason), now)
        self._end(reason)

    def _leave(self, error: str, now: float) -> None:
        """Nothing more will come: end after the calls that have."""
        self.phase = Phase.LEAVING
        self._farewell = error
        self._pump(now)

    def _end(self, error: str) -> None:
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._waiting.clear()
        self._codec.forget()
        self._events.append(Closed(error))
