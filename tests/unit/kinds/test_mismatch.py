"""Params that do not fit are told in the user's words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.mismatch import LONGEST_SHOWN, explain_mismatch


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


class Scale(msgspec.Struct, forbid_unknown_fields=True):
    width: int = 0
    fit: Literal["crop", "pad"] | None = None


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """Params of a kind that has one field of each sort."""

    crf: Annotated[int, msgspec.Meta(ge=0, le=63)] | None = None
    speed: float = 1.0
    text: str = ""
    keep: bool = True
    mode: Literal["fast", "slow"] = "fast"
    level: Level | None = None
    scale: Scale | None = None
    parts: list[int] = []
    codes: list[Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$", description="two small letters")]] = []


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Own:
    """A type that msgspec knows nothing of."""


class WithOwn(msgspec.Struct):
    own: Own | None = None
    mode: Literal["fast", "slow"] = "fast"


def explained(params: dict[str, Any], wanted: type[Any] = Params) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, wanted)
    return explain_mismatch(caught.value, params, wanted)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"codes": ["en", "German"]}, '\'codes\' must be two small letters; ["en", "German"] was given'),
        ({"crff": 1}, "there is no 'crff'; did you mean 'crf'?"),
        ({"zzz": 1}, "there is no 'zzz'; there are crf, speed, text, keep, mode, level, scale, parts, codes"),
        ({"crf": 99}, "'crf' must be a whole number <= 63; 99 was given"),
        ({"crf": "x"}, "'crf' must be a whole number or nothing; \"x\" was given"),
        ({"speed": "fast"}, "'speed' must be a number; \"fast\" was given"),
        ({"text": None}, "'text' must be a text; null was given"),
        ({"keep": 1}, "'keep' must be true or false; 1 was given"),
        ({"parts": 3}, "'parts' must be a list; 3 was given"),
        ({"parts": [1, "a"]}, "'parts[1]' must be a whole number; [1, \"a\"] was given"),
        ({"scale": {"width": "a"}}, "'scale.width' must be a whole number"),
        ({"scale": {"height": 1}}, "'scale' has no field 'height'"),
        ({"mode": "ultra"}, "'mode' must be one of fast, slow; \"ultra\" was given"),
        ({"level": "ultra"}, "'level' must be one of high, low; \"ultra\" was given"),
        ({"scale": {"fit": "ultra"}}, "'scale.fit' must be one of crop, pad"),
        ({"scale": [1]}, "'scale' must be an object or nothing; [1] was given"),
    ],
)
def test_the_sentence_says_what_is_wrong_and_what_would_be_right(params: dict[str, Any], sentence: str) -> None:
    assert explained(params) == sentence


def test_a_kind_without_params_says_so() -> None:
    assert explained({"crf": 1}, Nothing) == "there is no 'crf'; there are none"


def test_a_long_value_is_cut() -> None:
    assert len(explained({"crf": "x" * 10_000})) < LONGEST_SHOWN + 80


def test_a_long_name_is_cut() -> None:
    assert len(explained({"x" * 10_000: 1})) < LONGEST_SHOWN + 120


def test_a_type_that_has_no_schema_is_explained_without_its_choices() -> None:
    assert explained({"mode": "ultra"}, WithOwn) == "mode: Invalid enum value 'ultra'"


def test_the_words_of_a_kinds_own_check_stay_as_they_are() -> None:
    error = msgspec.ValidationError("there is no preset 'h265'; did you mean 'h264'?")
    assert explain_mismatch(error, {}, Params) == "there is no preset 'h265'; did you mean 'h264'?"


@given(
    st.dictionaries(
        st.sampled_from([*Params.__struct_fields__, "x"]), st.none() | st.text() | st.integers() | st.lists(st.text())
    )
)
def test_any_params_fit_or_are_explained_in_one_line(params: dict[str, Any]) -> None:
    try:
        msgspec.convert(params, Params)
    except msgspec.ValidationError as error:
        sentence = explain_mismatch(error, params, Params)
        assert sentence
        assert "$" not in sentence.partition(";")[0]
