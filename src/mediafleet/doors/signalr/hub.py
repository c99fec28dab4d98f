"""The seam: what a hub does, given from outside, and what it may do to the client that calls.

    async def echo(caller: Caller, text: str) -> str: ...

    hub = Hub(methods={"Echo": echo})

A method takes the caller first, then one argument for each that clients must send; types are those of its annotations,
and an argument of another type never reaches it. Calls of one client run one after another, in order.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, get_type_hints

import msgspec

Handler = Callable[..., Awaitable[Any]]
"""Takes a `Caller` and the arguments; None is no result. A `MediafleetError` is told to the client as it is."""


class Caller(Protocol):
    """One connected client; valid until `on_disconnected` has ended, and harmless after."""

    @property
    def connection_id(self) -> str:
        """Public name of the connection; a client that comes back has a new one, unless it resumes."""
        ...

    def send(self, target: str, *arguments: Any) -> bool:
        """Call a method of the client without waiting for anything.

        Returns:
            Whether it was queued; False if the client is gone, or reads so slowly that it is now sent away.

        Raises:
            Unwritable: An argument cannot be encoded; nothing was sent.
        """
        ...

    def send_after(self, target: str, *arguments: Any) -> None:
        """Like `send`, but right after the completion of the call that is being handled, and only if it succeeds."""
        ...

    def close(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        """End the connection once what is queued was sent."""
        ...


async def _pass_connected(_: Caller) -> None: ...


async def _pass_disconnected(_: Caller, __: str) -> None: ...


@dataclass(frozen=True)
class Hub:
    """What clients find behind the door; one for all of them."""

    methods: Mapping[str, Handler]
    """By the name that clients call; letter case does not count, as in ASP.NET Core."""
    on_connected: Callable[[Caller], Awaitable[None]] = _pass_connected
    """Ends before the first call is handled; an error sends the client away."""
    on_disconnected: Callable[[Caller, str], Awaitable[None]] = _pass_disconnected
    """After the last call has ended, with the error that ended the connection or an empty string."""


class BindingFault(Exception):
    """The arguments of a call do not fit its method."""


class Method(NamedTuple):
    """A method with what it takes."""

    name: str
    handler: Handler
    types: tuple[Any, ...]

    def bind(self, arguments: Any) -> tuple[Any, ...]:
        """Return the arguments in the types of the method. Raises BindingFault."""
        if len(arguments) != len(self.types):
            raise BindingFault(
                f"Invocation provides {len(arguments)} argument(s) but target expects {len(self.types)}."
            )
        try:
            return tuple(msgspec.convert(value, wanted) for value, wanted in zip(arguments, self.types, strict=True))
        except (msgspec.ValidationError, RecursionError):
            # Not the converter's own sentence: it may quote what was sent.
            raise BindingFault("An argument has another type than the target expects.") from None


class Methods:
    """The methods of a hub, found by name."""

    def __init__(self, hub: Hub) -> None:
        self._methods = {name.casefold(): _describe(name, handler) for name, handler in hub.methods.items()}

    def find(self, target: str) -> Method | None:
        """Return the method of a name, whatever its letter case."""
        return self._methods.get(target.casefold())


def _describe(name: str, handler: Handler) -> Method:
    hints = get_type_hints(handler, include_extras=True)
    parameters = list(inspect.signature(handler).parameters.values())[1:]
    return Method(name, handler, tuple(hints.get(parameter.name, Any) for parameter in parameters))
