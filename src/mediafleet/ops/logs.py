"""One line an event on standard error: text for people on a terminal, JSON for programs elsewhere.

Parts log through `structlog.get_logger()` with ids as fields; what libraries write through
`logging` comes out in the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, TextIO

import stamina.instrumentation
import structlog

from mediafleet.ops.log_levels import forget_levels

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from mediafleet.ops.settings import LogSettings

_QUIET_LIBRARIES = ("asyncio", "websockets", "uvicorn.access")
"""They report at `info` what our own lines and metrics say already; their warnings stay."""
_CREDENTIALS = re.compile(r"(?i)((?:authorization|cookie)['\"]?\s*[:=,])[^\r\n]*")
UNNOTICED_S = 0.1
"""Waits before a retry that nobody notices, as those for a server that is only just starting."""

_log = structlog.get_logger(__name__)


def configure_logs(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to one stream; a second call replaces the first.

    Args:
        settings: Level and form.
        stream: Standard error where it is None.
    """
    target = stream or sys.stderr
    as_text = settings.format in {"text", "console"} or (settings.format == "auto" and target.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_hide_credentials, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(target, as_text=as_text),
            ],
        )
    )
    # By force: what a library or an earlier call set up would write each line a second time.
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    forget_levels()
    stamina.instrumentation.set_on_retry_hooks([_log_retry])
    structlog.configure(
        # The level is asked of the module's own logger, since it may be changed while the process runs.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Modules make their loggers when they are imported: one that was used before this call would keep the old
        # settings.
        cache_logger_on_first_use=False,
    )


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    write = _log.debug if details.wait_for < UNNOTICED_S else _log.warning
    write("trying again", reason=str(details.caused_by), retry=details.retry_num, wait_s=round(details.wait_for, 3))


def _hide_credentials(_: object, __: str, event: EventDict) -> EventDict:
    # Libraries write the headers of requests at `debug`, which may be set while the process runs.
    event["event"] = _CREDENTIALS.sub(r"\1 (hidden)", str(event["event"]))
    return event


def _renderers(target: TextIO, *, as_text: bool) -> list[Processor]:
    if as_text:
        # The form that structlog would choose where rich is installed shows local values, and those may be credentials.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain)]
    # `default=str`, since a value that JSON lacks must not cost the line.
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
