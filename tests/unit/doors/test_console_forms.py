"""The form follows from the kind's params, and what it sends becomes a submission."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from fake_fleet import ENCODE
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.console.forms import PRIORITIES, Field, fields_of, read_params, read_submission
from mediafleet.domain.errors import InvalidParams, InvalidRequest
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.kinds.seam import Kind
from mediafleet.kinds.transcode import KIND as TRANSCODE
from mediafleet.kinds.transcode.params import TranscodeParams


class Canvas(msgspec.Struct, frozen=True):
    """A part that is no single value."""

    width: int = 0


class PaintParams(msgspec.Struct):
    """Params of which only one fits into a form."""

    size: Canvas | None = None
    tags: list[str] = []
    tone: Annotated[str, msgspec.Meta(examples=["warm", "cold"])] = "warm"


class Side(Enum):
    """A choice that is no literal."""

    LEFT = "left"
    RIGHT = "right"


class NoParams(msgspec.Struct):
    """A kind that has nothing to ask."""


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


class ShapeParams(msgspec.Struct):
    """Params whose schemas are written in less common ways."""

    mode: Literal["fast"] | None = None
    rate: Annotated[float | None, msgspec.Meta(description="Frames per second")] = None
    either: int | str = 0
    wanted: bool = False
    side: Side = Side.LEFT
    needed: str | None = None


def kind_of(params: type[msgspec.Struct], inputs: tuple[int, int | None] = (1, 1)) -> Kind:
    return Kind("k", 1, params, NOOP.plan, NOOP.handlers, "K.", inputs=inputs)


def test_params_that_may_be_left_out_are_drawn_as_what_they_are() -> None:
    fields = {field.name: field for field in fields_of(kind_of(ShapeParams))}
    assert (fields["mode"].control, fields["mode"].choices, fields["mode"].default) == ("select", ("", "fast"), "")
    assert (fields["rate"].control, fields["rate"].default) == ("number", "")
    assert (fields["needed"].control, fields["needed"].default) == ("text", "")
    assert (fields["wanted"].control, fields["wanted"].default) == ("checkbox", "")


class Stroke(msgspec.Struct, frozen=True):
    """A param with parts."""

    width: int = 2
    end: Literal["round", "flat"] | None = None
    dashed: bool = False
    smooth: bool = True
    canvas: Canvas = Canvas()


class DrawParams(msgspec.Struct, frozen=True):
    """Params with parts, and with choices that are no texts, or of two sorts."""

    passes: Literal[1, 2] = 1
    form: Literal["mp4", "mkv"] | Literal[""] = ""  # noqa: PYI030 - as others write them who join two types
    stroke: Stroke = Stroke()
    other: Stroke | None = None


def test_parts_of_a_param_that_is_always_there_are_fields() -> None:
    fields = {field.name: field for field in fields_of(kind_of(DrawParams))}
    assert list(fields) == ["passes", "form", "stroke.width", "stroke.end", "stroke.dashed", "stroke.smooth"]
    assert (fields["stroke.width"].label, fields["stroke.width"].group) == ("Stroke width", "Stroke")
    assert set(fields["form"].choices) == {"", "mp4", "mkv"}


@pytest.mark.parametrize(
    ("form", "params"),
    [
        ({"params.stroke.smooth": "on", "params.stroke.width": "2", "params.stroke.end": ""}, {}),
        (
            {"params.stroke.smooth": "on", "params.stroke.width": "5", "params.stroke.end": "flat"},
            {"stroke": {"width": 5, "end": "flat"}},
        ),
        ({"params.stroke.dashed": "on"}, {"stroke": {"dashed": True, "smooth": False}}),
        (
            {"params.stroke.smooth": "on", "params.passes": "2", "params.form": "mkv"},
            {"passes": 2, "form": "mkv"},
        ),
    ],
)
def test_what_is_entered_of_parts_goes_where_it_belongs(form: dict[str, str], params: dict[str, Any]) -> None:
    found = read_params(fields_of(kind_of(DrawParams)), form)
    assert found == params
    msgspec.convert(found, DrawParams)


def test_a_transcode_can_be_asked_for_what_people_want_of_it() -> None:
    form = {
        "params.container": "mkv",
        "params.bitrate": "4000000",
        "params.passes": "2",
        "params.speed": "slow",
        "params.chunks": "never",
        "params.scale.max": "1280",
        "params.audio.codec": "opus",
        "params.audio.bitrate": "96000",
        "params.filters.deinterlace": "frame",
        "params.verify.smaller": "on",
    }
    fields = fields_of(TRANSCODE)
    assert [field.name for field in fields[:2]] == ["preset", "container"]
    assert form.keys() <= {f"params.{field.name}" for field in fields}
    wanted = msgspec.convert(read_params(fields, form), TranscodeParams)
    assert (wanted.container, wanted.passes, wanted.scale.max, wanted.audio.codec) == ("mkv", 2, 1280, "opus")
    assert (wanted.filters.deinterlace, wanted.verify.smaller, wanted.video.tune) == ("frame", True, None)
    untouched = {f"params.{field.name}": field.default for field in fields}
    assert msgspec.convert(read_params(fields, untouched), TranscodeParams) == TranscodeParams()


def test_an_enumeration_is_a_choice_of_its_values() -> None:
    (side,) = (field for field in fields_of(kind_of(ShapeParams)) if field.name == "side")
    assert (side.control, set(side.choices), side.default) == ("select", {"left", "right"}, "left")


def test_a_param_that_may_be_of_two_types_is_left_to_its_default() -> None:
    assert "either" not in {field.name for field in fields_of(kind_of(ShapeParams))}


def test_a_kind_without_params_has_no_fields() -> None:
    assert fields_of(kind_of(NoParams)) == []


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "1e16"])
def test_a_number_that_json_or_the_store_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match=r"Scale is .* must be a number of ordinary size"):
        read_params(fields_of(ENCODE), {"params.scale": text})


@pytest.mark.parametrize("text", ["9" * 20, "-" + "9" * 20, "9" * 5_000])
def test_a_whole_number_beyond_64_bits_is_refused_and_not_repeated_whole(text: str) -> None:
    with pytest.raises(InvalidParams) as refusal:
        read_params(fields_of(ENCODE), {"params.crf": text})
    assert len(refusal.value.message) < 120


NUMBER = Field("n", "N", "number", is_integer=True)


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_any_whole_number_of_ordinary_size_is_read_as_itself(number: int) -> None:
    assert read_params([NUMBER], {"params.n": str(number)}) == {"n": number}


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_number_or_a_refusal(text: str) -> None:
    try:
        params = read_params([NUMBER], {"params.n": text})
    except InvalidParams:
        return
    assert params == {} or isinstance(params["n"], int)


@given(st.text(min_size=1, max_size=60))
def test_a_path_with_any_characters_is_an_address_without_them(name: str) -> None:
    address = read_submission(ENCODE, {"input": "/m/" + name.replace("/", "") + "x"}).input
    assert isinstance(address, str)
    assert address.startswith("file:///m/")
    assert address.isascii()
    assert not set(address) & set(' #?\n\r\t"<>')


def test_a_form_says_nothing_about_priority_and_means_batch() -> None:
    assert read_submission(ENCODE, {"input": "/a"}).priority is PriorityClass.BATCH
    assert read_submission(ENCODE, {"input": "/a", "priority": ""}).priority is PriorityClass.BATCH


def test_priorities_of_the_form_leave_live_to_sessions() -> None:
    assert PriorityClass.LIVE not in PRIORITIES


def test_a_kind_that_may_go_without_an_input_takes_one_all_the_same() -> None:
    kind = kind_of(NoParams, inputs=(0, None))
    assert read_submission(kind, {}).input is None
    assert read_submission(kind, {"input": " file:///a "}).input == "file:///a"


def test_a_missing_file_and_a_wrong_priority_are_told_apart() -> None:
    with pytest.raises(InvalidRequest, match="Choose a file"):
        read_submission(ENCODE, {})
    for word in ("now", "live", "Batch"):
        with pytest.raises(InvalidRequest, match="batch or interactive"):
            read_submission(ENCODE, {"input": "/a", "priority": word})
