"""Files used in place: any name survives its address, and only the same bytes give the same fingerprint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafleet.artifacts.fingerprint import (
    SAMPLE_BYTES,
    fingerprint,
    fingerprint_of,
    input_uri,
    parse_input_uri,
    path_of_uri,
    sees_same_file,
    uri_of_path,
)
from mediafleet.domain.artifact import Fingerprint
from mediafleet.domain.errors import InvalidRequest, NotFound

NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: not set(name) & set(b"\0/") and name not in {b".", b".."}
)
PROOF = Fingerprint(12, "ab" * 32)


@given(parts=st.lists(NAMES, min_size=1, max_size=4))
def test_every_possible_file_name_survives_its_address(parts: list[bytes]) -> None:
    path = Path(os.fsdecode(b"/" + b"/".join(parts)))
    uri = uri_of_path(path)
    assert uri.isascii()
    assert not set(uri) & set(" \n\r\t#?\"'<>")
    assert path_of_uri(uri) == path
    assert parse_input_uri(uri) == (path, None)
    assert parse_input_uri(input_uri(path, PROOF)) == (path, PROOF)


def test_address_is_the_one_that_others_write_too() -> None:
    path = Path("/m/a b#c?d%é\n.mkv")
    assert uri_of_path(path) == path.as_uri() == "file:///m/a%20b%23c%3Fd%25%C3%A9%0A.mkv"
    assert path_of_uri("file:///m/é.mkv") == Path("/m/é.mkv")


@pytest.mark.parametrize(
    "uri",
    [
        "/m/a.mkv",
        "http://host/a.mkv",
        "FILE:///m/a.mkv",
        "file:/m/a.mkv",
        "file://m/a.mkv",
        "file://host/m/a.mkv",
        "file://localhost/m/a.mkv",
        "file://",
        "file:///m/a%00.mkv",
        "file:///m/../etc/passwd",
        "file:///m/%2e%2E/etc/passwd",
        "file:///m/a%zz.mkv",
        "file:///m/100%",
        "file:///m/a.mkv?x=1",
        "file:///m/a.mkv#t=10",
        "file:///m/a.mkv#12-AB",
        "file:///m/a.mkv#-1-" + "ab" * 32,
        "file:///m/a.mkv#",
    ],
)
def test_address_that_does_not_name_one_local_file_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRequest, match=r"\.$"):
        parse_input_uri(uri)


def test_relative_path_has_no_address() -> None:
    with pytest.raises(InvalidRequest, match="relative"):
        uri_of_path(Path("a.mkv"))


async def test_fingerprint_is_size_and_hash_of_first_middle_and_last_samples(tmp_path: Path) -> None:
    content = os.urandom(5 * SAMPLE_BYTES + 1)
    middle = (len(content) - SAMPLE_BYTES) // 2
    samples = content[:SAMPLE_BYTES] + content[middle : middle + SAMPLE_BYTES] + content[-SAMPLE_BYTES:]
    path = tmp_path / "a b.mkv"
    path.write_bytes(content)
    expected = Fingerprint(len(content), hashlib.sha256(samples).hexdigest())
    assert await fingerprint(path) == fingerprint_of(path) == expected


@pytest.mark.parametrize("size", [0, 1, SAMPLE_BYTES])
async def test_short_file_is_hashed_whole_and_once(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    assert await fingerprint(tmp_path / "a") == Fingerprint(size, hashlib.sha256(content).hexdigest())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(data=st.data())
async def test_any_change_in_a_sampled_part_or_in_length_shows(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(4 * SAMPLE_BYTES)
    path = tmp_path / "a"
    path.write_bytes(content)
    before = await fingerprint(path)
    assert await sees_same_file(path, before)
    if data.draw(st.booleans()):
        position = data.draw(st.sampled_from([0, SAMPLE_BYTES - 1, 2 * SAMPLE_BYTES, -SAMPLE_BYTES, -1]))
        content[position] ^= 1
    else:
        content += b"\0" * data.draw(st.integers(1, 3))
    path.write_bytes(content)
    assert not await sees_same_file(path, before)


async def test_what_is_no_regular_file_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InvalidRequest, match="not a regular file"):
            await fingerprint(path)
        assert not await sees_same_file(path, PROOF)


async def test_missing_file_is_not_found_and_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file" / "below"):
        with pytest.raises(NotFound, match="no file"):
            await fingerprint(path)
        assert not await sees_same_file(path, PROOF)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_file_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0)
    with pytest.raises(InvalidRequest, match="Permission denied"):
        await fingerprint(tmp_path / "a")


async def test_file_that_is_still_being_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"first part")
    read = os.pread

    def read_while_it_grows(*args: Any) -> bytes:
        with path.open("ab") as file:
            file.write(b"more")
        return read(*args)

    monkeypatch.setattr(os, "pread", read_while_it_grows)
    with pytest.raises(InvalidRequest, match="still being written"):
        await fingerprint(path)
