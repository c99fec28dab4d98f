"""A catalogue tells which services provide a feature, the newest first; a bad document is refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.catalogue import EMPTY, MOST_SERVICES, Catalogue, read_catalogue, version_key
from mediafleet.domain.errors import InvalidRequest

EN = "recognise:en"


def service(name: str = "vosk", version: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "provides": [EN],
        "capabilities": [f"asr:{name}@{version}"],
    } | changes


def document(*services: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"format": 1, "services": services} | changes).encode()


def test_the_newest_version_comes_first_and_the_feature_itself_last() -> None:
    found = read_catalogue(document(*(service(version=version) for version in ("0.9", "0.10", "0.10-rc1"))))
    assert found.resolve(EN) == (("asr:vosk@0.10",), ("asr:vosk@0.10-rc1",), ("asr:vosk@0.9",), (EN,))


def test_services_of_several_names_go_in_the_order_of_the_document() -> None:
    found = read_catalogue(document(service("whisper", "3"), service("vosk", "22"), service("whisper", "4")))
    assert [wanted for (wanted, *_) in found.resolve(EN)][:3] == ["asr:whisper@4", "asr:whisper@3", "asr:vosk@22"]
    assert [(one.name, one.version) for one in found.services] == [("whisper", "4"), ("whisper", "3"), ("vosk", "22")]


def test_what_no_service_provides_is_a_capability_under_its_own_name() -> None:
    assert EMPTY.resolve(EN) == ((EN,),)
    assert Catalogue().services == ()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1", "2"),
        ("1.9", "1.10"),
        ("1.0-rc1", "1.0"),
        ("1.0", "1.0.1"),
        ("2023-12", "2024-01"),
        ("1.0-a", "1.0-b"),
        ("", "1"),
    ],
)
def test_versions_are_ordered_as_people_read_them(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


@given(st.lists(st.text(max_size=20)))
def test_any_versions_have_an_order(versions: list[str]) -> None:
    ordered = [version_key(version) for version in sorted(versions, key=version_key)]
    assert ordered == sorted(map(version_key, reversed(versions)))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The catalogue cannot be read: Input data was truncated"),
        (b"\xff", "The catalogue cannot be read"),
        (b"[" * 100_000, "The catalogue cannot be read"),
        (b"{}", "missing required field `format`"),
        (document(format=2), "The catalogue has the format 2; this version reads 1"),
        (document(service(provides="all")), r"Expected `array`, got `str` - at `\$.services\[0\].provides`"),
        (document(service(), service()), "The catalogue names vosk 1 twice"),
        (document(service(name="")), "a name or version that is not 1 to 80 printable characters"),
        (document(service(version="1\x1b[2J")), "a name or version that is not"),
        (document(service(version="9" * 81)), "a name or version that is not"),
        (document(service(provides=[])), "vosk 1 of the catalogue provides nothing"),
        (document(service(capabilities=[])), "vosk 1 of the catalogue provides nothing, or names no capability"),
        (document(service(capabilities=["no such"])), "vosk 1 of the catalogue: 'no such' is not a capability"),
        (document(*(service(str(n)) for n in range(MOST_SERVICES + 1))), "has 10001 services; 10000 are possible"),
    ],
)
def test_a_bad_document_is_refused_with_the_reason(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        read_catalogue(body)


def test_fields_that_this_version_does_not_know_are_left_to_later_ones() -> None:
    assert read_catalogue(document(service(licence="MIT"), maintainer="x")).services[0].name == "vosk"
