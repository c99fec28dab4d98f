"""Runs the work of a command: an event loop, Ctrl-C, and errors that become one sentence."""

from __future__ import annotations

import asyncio
import logging
import signal
import traceback
from typing import TYPE_CHECKING

import stamina.instrumentation

from mediafleet.cli._output import Output
from mediafleet.domain.errors import ConfigError, InvalidRequest, MediafleetError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
TERMINATED = 143
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def run_client(work: Coroutine[Any, Any, int], output: Output, *, debug: bool = False) -> int:
    """Run a client command to its end and return its exit code; no error leaves a stack trace unless asked."""
    # A retry that succeeds is no news; one that fails ends as a sentence.
    stamina.instrumentation.set_on_retry_hooks([])
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return guard(lambda: asyncio.run(_until_signalled(work)), output, debug=debug)


def guard(work: Callable[[], int], output: Output, *, debug: bool = False) -> int:
    """Call and return its exit code; say in one sentence what an error means."""
    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    # Ctrl-C comes as KeyboardInterrupt even through the event loop; a cancellation that gets here was a signal of ours.
    except asyncio.CancelledError:
        return TERMINATED
    # Before OSError, which it is one of: `main` ends quietly for a reader that went away.
    except (BrokenPipeError, SystemExit):
        raise
    except MediafleetError as error:
        _trace(debug=debug)
        output.fail(error)
        return MISUSED if isinstance(error, (ConfigError, InvalidRequest)) else FAILED
    except OSError as error:
        _trace(debug=debug)
        output.fail(_os_error(error))
        return FAILED
    except Exception as error:  # noqa: BLE001 - the outermost boundary: a fault of ours is told as one, with the way to see it
        _trace(debug=debug)
        output.fail(
            MediafleetError(f"This is a fault of mediafleet ({type(error).__name__}: {error}); --debug shows where.")
        )
        return FAILED


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run the work; SIGTERM and SIGHUP cancel it as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await work
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)


def _trace(*, debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _os_error(error: OSError) -> MediafleetError:
    where = f" ({error.filename})" if error.filename else ""
    return MediafleetError(f"The system refused: {error.strerror or error}{where}.")
