"""Reads params from the command line, and checks those of a transcode before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from mediafleet.domain.errors import InvalidParams, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.ops.settings import Settings


def read_params(pairs: Sequence[str], document: str = "") -> dict[str, Any]:
    """Return params from `key=value` words on top of a JSON object.

    A value that is JSON means what it says, anything else is text; `scale.height=720` reaches into an object.

    Raises:
        InvalidRequest: A word has no `=`, or the document is no JSON object.
    """
    params = _read_object(document) if document else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise InvalidRequest(f"{pair!r} is no parameter; write it like --param crf=23.")
        _put(params, key.split("."), _read_value(value))
    return params


def _read_object(document: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"--params takes a JSON object like '{{\"crf\": 23}}': {error}.") from error


def _read_value(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    # A word from the command line may hold bytes that are no text, which the decoder cannot even look at.
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text


def _put(params: dict[str, Any], path: Sequence[str], value: object) -> None:
    *folders, last = path
    for name in folders:
        inner = params.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InvalidRequest(f"--param {'.'.join(path)} reaches into {name!r}, which is given as a plain value.")
        params = cast("dict[str, Any]", inner)
    params[last] = value


def spell_out_preset(params: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return a transcode's params with a preset of this user's own spelled out, since the fleet may not have its file.

    Raises:
        InvalidRequest: There is no such preset, or its file cannot be used.
    """
    from mediafleet.kinds.transcode.preset_files import complete_params  # noqa: PLC0415 - as below

    try:
        return complete_params(params, settings)
    except InvalidParams as error:
        raise InvalidRequest(error.message) from error


def check_params(params: dict[str, Any], kind: str) -> None:
    """Check the params of a job before anything starts.

    Raises:
        InvalidRequest: They do not fit; the sentence names what is wrong.
    """
    # Kinds know media, which takes time to import.
    from mediafleet.kinds import KindRegistry  # noqa: PLC0415
    from mediafleet.kinds.mismatch import explain_mismatch  # noqa: PLC0415

    wanted = KindRegistry.installed().get(kind).params
    try:
        msgspec.convert(params, wanted)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"These options do not fit a {kind}: {explain_mismatch(error, params, wanted)}."
        ) from error


def expected_ending(params: dict[str, Any]) -> str:
    """Return the ending of a transcode's result, `.mp4`; empty where only the input decides.

    Raises:
        InvalidRequest: The params do not fit; the sentence names what is wrong.
    """
    # Their packages know media, which takes time to import: only a transcode needs them.
    from mediafleet.kinds.mismatch import explain_mismatch  # noqa: PLC0415
    from mediafleet.kinds.transcode.params import TranscodeParams, preset_of  # noqa: PLC0415

    try:
        typed = msgspec.convert(params, TranscodeParams)
    except msgspec.ValidationError as error:
        sentence = explain_mismatch(error, params, TranscodeParams)
        raise InvalidRequest(f"These options do not fit a transcode: {sentence}.") from error
    container = typed.container or preset_of(typed).container
    return f".{container}" if container else ""
