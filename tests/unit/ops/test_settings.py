"""Every setting is documented, unchangeable and sensible before anybody touches it."""

from __future__ import annotations

import ast
import inspect
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from mediafleet.ops import settings as module
from mediafleet.ops.settings import (
    NodeSettings,
    SchedulerSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)

COMPONENTS = [kind for kind in vars(module).values() if is_dataclass(kind) and isinstance(kind, type)]
SECTIONS = {field.name: getattr(Settings(), field.name) for field in fields(Settings) if field.name != "data"}


def documented(component: type) -> dict[str, str]:
    """Return the string below each field, as the reference is made from it."""
    body = ast.parse(inspect.getsource(component)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for above, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(above.target)] = str(below.value.value)
    return found


@pytest.mark.parametrize("component", [kind for kind in COMPONENTS if kind is not Settings])
def test_every_setting_says_what_it_means_in_a_sentence(component: type) -> None:
    told = documented(component)
    assert set(told) == {field.name for field in fields(component)}
    assert all(sentence[0].isupper() or sentence[0] == "`" for sentence in told.values())
    assert all(sentence.endswith(".") for sentence in told.values())


@pytest.mark.parametrize("component", COMPONENTS)
def test_settings_do_not_change_while_the_process_runs(component: Any) -> None:
    made = component()
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(component)[0].name, "other")


@pytest.mark.parametrize("component", COMPONENTS)
def test_settings_that_are_equal_are_the_same_settings(component: Any) -> None:
    assert component() == component()
    assert hash(component()) == hash(component())


def test_without_settings_nothing_is_reachable_from_outside() -> None:
    assert ServerSettings().host == "127.0.0.1"
    assert StoreSettings().redis_url == ""
    assert NodeSettings().scheduler == f"http://127.0.0.1:{ServerSettings().port}"


def test_no_setting_is_shown_that_is_a_secret() -> None:
    hidden = {
        name for section in SECTIONS.values() for field in fields(section) if not field.repr for name in [field.name]
    }
    assert hidden == {"token", "secret_key"}


def test_a_node_is_lost_only_after_two_missed_reports_and_a_reservation_before_that() -> None:
    times = SchedulerSettings()
    assert times.reap_ms < times.outage_gap_ms < times.reservation_ms < times.node_lease_ms
    assert times.node_lease_ms >= 2 * times.heartbeat_ms


def test_a_link_that_was_lost_is_tried_again_before_the_lease_ends() -> None:
    assert NodeSettings().reconnect_max_ms < SchedulerSettings().node_lease_ms


def test_uploads_that_nobody_uses_go_before_the_jobs_that_others_finished() -> None:
    assert SchedulerSettings().upload_retention_s <= SchedulerSettings().job_retention_s


def test_the_data_directory_is_below_the_home_of_the_user() -> None:
    assert Settings().data == Path("~/.local/share/mediafleet")
