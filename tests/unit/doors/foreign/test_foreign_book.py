"""What a node remembers of its masters' tasks, and of which master was set."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from mediafleet.domain.errors import InvalidRequest
from mediafleet.doors.foreign.book import Book, Entry, Stage
from mediafleet.doors.foreign.choice import MasterChoice, check_master
from mediafleet.doors.foreign.line import pause_s
from mediafleet.doors.foreign.orders import Order
from mediafleet.ops.settings import MasterSettings

HUB = "http://one/hub"
OWN = MasterSettings(url="https://studio.example/signalrhub", token="for-the-studio-only")  # noqa: S106 - of this test


def entry(task: int = 1, raw: str = "/o/a.srt") -> Entry:
    return Entry(HUB, Order(task, "/m/a.mkv", raw, "", ""))


async def test_entries_survive_the_process_and_go_when_they_are_delivered(tmp_path: Path) -> None:
    book = Book(tmp_path / "tasks")
    assert book.load() == []
    first, second = entry(1), entry(2)
    await book.put(first)
    await book.put(second)
    await book.put(replace(first, stage=Stage.RUNNING, job="j0-1"))
    await book.remove(second.key)
    again = Book(tmp_path / "tasks")
    assert again.load() == [replace(first, stage=Stage.RUNNING, job="j0-1")]
    assert again.get(first.key) == again.entries[0]
    await again.remove("nobody")
    await again.remove(first.key)
    assert os.listdir(tmp_path / "tasks") == []


async def test_tasks_with_one_id_are_told_apart_by_their_arguments(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.load()
    one, other = entry(1, "/o/a.srt"), entry(1, "/o/b.srt")
    await asyncio.gather(book.put(one), book.put(other), book.put(entry(2)))
    assert book.find(HUB, 1) == [one, other]
    assert book.find("http://two/hub", 1) == []


async def test_what_cannot_be_read_is_set_aside_and_drafts_go(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json.tmp").write_text("{}")
    assert Book(tmp_path).load() == []
    assert os.listdir(tmp_path) == ["a.corrupt"]


async def test_a_full_disk_costs_only_the_survival_of_a_restart(tmp_path: Path) -> None:
    book = Book(tmp_path / "tasks")
    book.load()
    (tmp_path / "tasks").rmdir()
    await book.put(entry())
    assert book.entries == [entry()]


async def test_a_cancelled_writer_still_writes(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.load()
    writing = asyncio.create_task(book.put(entry()))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    # Whoever comes next waits for the first.
    await book.put(entry(2))
    assert Book(tmp_path).load() == [entry(), entry(2)]


def test_the_pause_between_attempts_grows_only_after_so_many_and_to_a_limit() -> None:
    settings = MasterSettings(retry_s=5, retries=10, retry_longest_s=60)
    assert [pause_s(failures, settings) for failures in (1, 10, 11, 12, 13, 14, 15, 10**6)] == [
        5, 5, 10, 20, 40, 60, 60, 60
    ]  # fmt: skip


async def test_a_master_that_was_set_counts_after_a_restart_too(tmp_path: Path) -> None:
    choice = MasterChoice(tmp_path / "deep" / "choice.json", OWN)
    choice.load()
    assert choice.url == OWN.url
    await choice.set("http://192.0.2.7:9/hub/", "another-token")
    assert choice.changed.is_set()
    again = MasterChoice(tmp_path / "deep" / "choice.json", OWN)
    again.load()
    assert (again.url, again.token) == ("http://192.0.2.7:9/hub", "another-token")
    assert (tmp_path / "deep").stat().st_mode & 0o077 == 0
    await again.set("")
    third = MasterChoice(tmp_path / "deep" / "choice.json", OWN)
    third.load()
    assert third.url == ""


async def test_settings_that_were_changed_since_count_again(tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    await MasterChoice(path, OWN).set("http://192.0.2.7/hub")
    changed = MasterChoice(path, MasterSettings(url="http://new.example/hub"))
    changed.load()
    assert changed.url == "http://new.example/hub"


async def test_the_token_of_the_settings_goes_to_no_other_address(tmp_path: Path) -> None:
    choice = MasterChoice(tmp_path / "choice.json", OWN)
    assert choice.token == OWN.token
    await choice.set("https://elsewhere.example/signalrhub")
    assert choice.token == ""
    await choice.set("http://studio.example/signalrhub")
    assert choice.token == "", "not without TLS either"
    await choice.set("https://studio.example/other")
    assert choice.token == OWN.token
    free = MasterChoice(tmp_path / "other.json", MasterSettings(token="for-whoever-is-set"))  # noqa: S106 - of this test
    await free.set("http://a.example/hub")
    assert free.token == "for-whoever-is-set"  # noqa: S105 - of this test


def test_a_file_that_cannot_be_read_leaves_the_settings(tmp_path: Path) -> None:
    (tmp_path / "choice.json").write_text("[]")
    choice = MasterChoice(tmp_path / "choice.json", OWN)
    choice.load()
    assert choice.url == OWN.url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://A.example/hub/", "http://a.example/hub"),
        ("a.example:8080/hub", "http://a.example:8080/hub"),
        (" wss://a.example/hub ", "https://a.example/hub"),
        ("ws://[::1]:9/hub?v=1", "http://[::1]:9/hub?v=1"),
    ],
)
def test_one_master_has_one_address(given: str, url: str) -> None:
    assert check_master(given) == url


@pytest.mark.parametrize(
    "given",
    ["", "ftp://a/hub", "http://", "http://a:99999/hub", "http://a:0/", "http://a/h ub", "http://[", "http://a/\nb"],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest, match="no address of a hub"):
        check_master(given)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_master("https://me:secret@a.example/hub")
    assert "secret" not in raised.value.message
