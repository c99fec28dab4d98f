"""What a master asks for, and what becomes of it. Pure."""

from __future__ import annotations

import hashlib
import re
from os.path import normpath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.kinds.subtitle.formats import Format
from mediafleet.kinds.subtitle.language_codes import short_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import JobView

TaskId = int | str
"""As the master calls a task: a whole number, but whatever it sends is sent back."""
WHOLE = 10_000
"""Progress of a task that is done."""
START, STOP, PING, ACKNOWLEDGE = "startsubtitize", "stopsubtitize", "ping", "acknowledge"
"""What masters call; letter case does not count, as in ASP.NET Core."""
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LONGEST_PATH = 4096
_LONGEST_ERROR = 1000
"""Characters; hubs take 32 KiB."""


class Order(msgspec.Struct, frozen=True):
    """The arguments of `StartSubtitize`."""

    task: TaskId
    video: str
    """Path."""
    raw: str
    """Path of the file for what is spoken; none where empty."""
    translated: str
    """Path of the file for the translation; none where empty."""
    language: str
    """To translate into, as the master writes it; empty for none."""

    @property
    def target(self) -> str:
        """The language to translate into, ISO 639-1; empty for none."""
        return short_code(self.language.strip().replace("_", "-")) if self.translated else ""


class WantedFile(NamedTuple):
    """A file that a master waits for."""

    path: str
    language: str
    form: Format
    source: ArtifactRef | None
    """Its content; None where nobody speaks in the film, and then there is none."""


def read_order(arguments: Sequence[Any]) -> Order:
    """Return the order in these arguments.

    Raises:
        InvalidRequest: They are none, or nothing could be made of them.
    """
    try:
        task, video, raw, translated, language = (
            msgspec.convert(value, kind) for value, kind in zip(arguments, _KINDS, strict=True)
        )
        # .NET has no string as null.
        order = Order(task, video, raw, translated, language or "")
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidRequest("StartSubtitize takes a task id, three paths and a language.") from error
    if not order.video:
        raise InvalidRequest("The task names no video.")
    if not order.raw and not order.translated:
        raise InvalidRequest("The task names no file to write.")
    places = [normpath(path) for path in (order.video, order.raw, order.translated) if path]
    if len(set(places)) < len(places):
        raise InvalidRequest("The task names one place twice; film and files need places of their own.")
    for path in (order.video, order.raw, order.translated):
        if "\0" in path or len(path) > _LONGEST_PATH or (path and not PurePath(path).is_absolute()):
            raise InvalidRequest(f"{path[:200]!r} is no absolute path.")
    if order.target and not _LANGUAGE.fullmatch(order.target):
        raise InvalidRequest(f"{order.language[:40]!r} is no code of a language, such as en (ISO 639).")
    for path in (order.raw, order.translated):
        format_of(path)
    return order


_KINDS: tuple[Any, ...] = (TaskId, str, str, str, str | None)


def task_of(arguments: Sequence[Any]) -> TaskId | None:
    """Return the task id that arguments begin with, or None."""
    first = arguments[0] if arguments else None
    return first if isinstance(first, int | str) and not isinstance(first, bool) else None


def key_of(master: str, order: Order) -> str:
    """Return the name of an order: another one for other arguments, and with another master."""
    written = msgspec.json.encode([master, order])
    return hashlib.blake2b(written, digest_size=16).hexdigest()


def format_of(path: str) -> Format:
    """Return the format that a path's ending names; SRT for no path. Raises InvalidRequest."""
    # Without an ending it could be anybody's file, and would be written over.
    ending = PurePath(path).suffix[1:].lower()
    try:
        return Format(ending) if path else Format.SRT
    except ValueError:
        known = ", ".join(Format)
        raise InvalidRequest(f"{path[-200:]!r} has an ending of no format that is written here ({known}).") from None


def params_of(order: Order, *, spoken: str) -> dict[str, Any]:
    """Return the params of the job.

    Args:
        spoken: Language of the film, or `auto`.
    """
    formats = dict.fromkeys(format_of(path).value for path in (order.raw, order.translated) if path)
    translates = order.target and order.target != spoken
    return {"language": spoken, "to": [order.target] if translates else [], "formats": list(formats)}


def progress_of(view: JobView) -> tuple[int, str]:
    """Return how far a job is, 0 to 10,000, and a word for what happens."""
    share = min(max(view.progress, 0.0), 1.0)
    return round(share * WHOLE), view.stage or view.status.value


def wanted_files(order: Order, view: JobView) -> list[WantedFile]:
    """Return the files of a completed job that the master waits for."""
    result: Mapping[str, Any] = view.result or {}
    spoken = str(result.get("language", ""))
    listed = cast("Sequence[Mapping[str, Any]]", result.get("files", ()))
    found = {(str(one["language"]), str(one["format"])): ref for one, ref in zip(listed, view.outputs, strict=False)}
    # What is in the language already was not translated, and is the translation.
    wishes = ((order.raw, spoken), (order.translated, order.target or spoken))
    return [
        WantedFile(path, language, format_of(path), found.get((language, format_of(path).value)))
        for path, language in wishes
        if path
    ]


def failure_of(view: JobView) -> str:
    """Return why a job that did not complete did not."""
    return view.error.message if view.error else f"The job {view.id} is {view.status.value}."


def cut_error(sentence: str) -> str:
    """Return a sentence as it is told to masters."""
    return " ".join(sentence.split())[:_LONGEST_ERROR]
