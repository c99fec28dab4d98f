"""The form follows from the kind's params, and what it sends becomes a submission."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from fake_fleet import ENCODE

from mediafleet.console.forms import fields_of, read_params, read_submission
from mediafleet.domain.errors import InvalidParams, InvalidRequest
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.kinds.seam import Kind


class Canvas(msgspec.Struct):
    """A part that is no single value."""

    width: int = 0


class PaintParams(msgspec.Struct):
    """Params of which only one fits into a form."""

    size: Canvas | None = None
    tags: list[str] = []
    tone: Annotated[str, msgspec.Meta(examples=["warm", "cold"])] = "warm"


def test_each_simple_param_becomes_a_field() -> None:
    fields = {field.name: field for field in fields_of(ENCODE)}
    assert (fields["preset"].control, fields["preset"].default) == ("select", "h264")
    assert set(fields["preset"].choices) == {"h264", "hevc", "av1"}
    assert fields["container"].control == "text"
    assert (fields["crf"].control, fields["crf"].default, fields["crf"].is_integer) == ("number", "", True)
    assert (fields["scale"].control, fields["scale"].is_integer) == ("number", False)
    assert (fields["keep_subtitles"].control, fields["keep_subtitles"].default) == ("checkbox", "on")
    assert fields["keep_subtitles"].label == "Keep subtitles"


def test_what_a_form_cannot_hold_keeps_its_default() -> None:
    kind = Kind("k", 1, PaintParams, NOOP.plan, NOOP.handlers, "K.")
    (field,) = fields_of(kind)
    assert (field.name, field.choices) == ("tone", ("warm", "cold"))


@pytest.mark.parametrize(
    ("form", "params"),
    [
        ({}, {"keep_subtitles": False}),
        ({"params.keep_subtitles": "on", "params.preset": "av1"}, {"keep_subtitles": True, "preset": "av1"}),
        ({"params.crf": " 20 ", "params.scale": "0.5"}, {"crf": 20, "scale": 0.5, "keep_subtitles": False}),
        ({"params.crf": "", "params.preset": "h264", "params.other": "x"}, {"keep_subtitles": False}),
    ],
)
def test_a_form_becomes_params_of_the_right_types(form: dict[str, str], params: dict[str, Any]) -> None:
    assert read_params(fields_of(ENCODE), form) == params


@pytest.mark.parametrize("text", ["many", "1.5", "0x10"])
def test_a_number_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidParams, match=r"Crf is .* whole number"):
        read_params(fields_of(ENCODE), {"params.crf": text})


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("/m/a b#1.mkv", "file:///m/a%20b%231.mkv"),
        ("file:///m/a.mkv", "file:///m/a.mkv"),
        ("artifact:a0-1", "artifact:a0-1"),
    ],
)
def test_a_path_becomes_an_address(text: str, uri: str) -> None:
    assert read_submission(ENCODE, {"input": text}).input == uri


def test_a_kind_without_inputs_needs_none() -> None:
    assert read_submission(NOOP, {"priority": "interactive"}).input is None


@pytest.mark.parametrize("form", [{}, {"input": "  "}, {"input": "/a", "priority": "urgent"}])
def test_a_form_that_says_too_little_or_nonsense_is_refused(form: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        read_submission(ENCODE, form)
