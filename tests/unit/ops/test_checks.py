"""Settings that could not work together are named before anything starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mediafleet.ops.checks import check_settings
from mediafleet.ops.settings import Settings


def problems(section: str, **changes: Any) -> list[str]:
    settings = Settings()
    return check_settings(replace(settings, **{section: replace(getattr(settings, section), **changes)}))


def test_the_defaults_work() -> None:
    assert check_settings(Settings()) == []


@pytest.mark.parametrize(
    ("section", "changes", "word"),
    [
        ("scheduler", {"node_lease_ms": 9_999}, "twice scheduler.heartbeat_ms"),
        ("scheduler", {"reservation_ms": 15_000}, "must be less than scheduler.node_lease_ms"),
        ("scheduler", {"reap_ms": 5_000, "outage_gap_ms": 6_000}, "must be less than scheduler.reservation_ms"),
        ("scheduler", {"outage_gap_ms": 500}, "every pause"),
        ("scheduler", {"place_batch": 65}, "1 to 64"),
        ("scheduler", {"push_nodes": ("studio",)}, "scheduler.push_nodes: 'studio' names no node"),
        ("scheduler", {"push_nodes": ("a:1", "A:1:5")}, "named twice"),
        ("node", {"listen": "9000"}, "node.listen: '9000' is no address"),
        ("scheduler", {"place_batch": 0}, "1 or more"),
        ("scheduler", {"headroom_percent": 101}, "0 to 100"),
        ("scheduler", {"missing_ms": 700_000}, "less than scheduler.breaker_cool_ms"),
        ("node", {"headroom": ("tape:5",)}, "node.headroom: 'tape:5'"),
        ("scheduler", {"job_retention_s": -1}, "scheduler.job_retention_s is -1"),
        ("store", {"prefix": ""}, "store.prefix"),
        ("store", {"prefix": "a{b}"}, "store.prefix"),
        ("store", {"prefix": "a" * 33}, "1 to 32"),
        ("store", {"cell": "A"}, "store.cell"),
        ("store", {"redis_url": "http://r"}, "redis://"),
        ("store", {"cells": 65}, "1 to 64"),
        ("store", {"cells": 0}, "1 or more"),
        ("store", {"cells": 2, "cell": "b"}, "several cells have names of their own"),
        ("node", {"scheduler": "scheduler:8000"}, "http://192.0.2.7:8000"),
        ("node", {"reconnect_min_ms": 6_000}, "reconnect_max_ms"),
        ("node", {"labels": ("two words",)}, "two words"),
        ("node", {"slots": -1}, "0 or more"),
        ("node", {"paths": ("/mnt/media",)}, "maps no folder"),
        ("node", {"paths": ("media=/m",)}, "maps no folder"),
        ("node", {"paths": ("/mnt=/a", "/mnt=/b")}, "node.paths: '/mnt' is mapped twice"),
        ("node", {"child_memory_percent": 1_001}, "0 to 1000"),
        ("node", {"child_nice": 20}, "0 to 19"),
        ("node", {"child_open_files": 63}, "64 or more"),
        ("server", {"port": 65_536}, "0 to 65535"),
        ("server", {"port": -1}, "0 or more"),
        ("server", {"host": ""}, "every address"),
        ("server", {"token": "short"}, "16 or more"),
        ("server", {"token": "sixteen or more words"}, "without spaces"),
        ("artifacts", {"file_roots": ("",)}, "no absolute path"),
        ("artifacts", {"max_upload_bytes": 0}, "1 or more"),
        ("artifacts", {"root": "ftp://host/x"}, "s3://bucket/prefix"),
        ("artifacts", {"root": "s3://"}, "s3://bucket/prefix"),
        ("artifacts", {"object_roots": ("media",)}, "artifacts.object_roots"),
        ("artifacts", {"endpoint": "minio:9000"}, "artifacts.endpoint"),
        ("artifacts", {"access_key": "key"}, "without artifacts.secret_key"),
        ("catalogue", {"url": "models.example/list"}, "http://"),
        ("catalogue", {"url": "ftp://models.example/list"}, "http://"),
        ("catalogue", {"url": "https://"}, "names a host"),
        ("catalogue", {"url": "https://models.example:port/"}, "names a host"),
        ("catalogue", {"url": "https://[models/"}, "names a host"),
        ("catalogue", {"refresh_s": 0}, "1 or more"),
        ("master", {"url": "ftp://a/hub"}, "master.url"),
        ("master", {"url": "http://user:secret@a/hub"}, "master-token-file"),
        ("master", {"retry_s": 60, "retry_longest_s": 30}, "master.retry_longest_s"),
        ("master", {"retry_s": 0}, "master.retry_s"),
        ("master", {"tasks": 0}, "master.tasks"),
        ("master", {"language": "English"}, "master.language"),
        ("master", {"token": "two words"}, "master.token"),
        ("master", {"roots": ("films",)}, "master.roots"),
        ("node", {"api": "9000"}, "node.api"),
        ("signalr", {"client_timeout_ms": 20_000}, "signalr.client_timeout_ms"),
        ("signalr", {"replay_bytes": 2_000_000}, "signalr.replay_bytes"),
        ("signalr", {"message_bytes": 0}, "signalr.message_bytes"),
        ("signalr", {"worker_timeout_ms": 9_999}, "twice scheduler.heartbeat_ms"),
    ],
)
def test_each_problem_is_one_sentence(section: str, changes: dict[str, Any], word: str) -> None:
    found = problems(section, **changes)
    assert len(found) == 1, found
    assert word in found[0]
    assert found[0].endswith(".")


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("scheduler", {"node_lease_ms": 10_000}),
        ("scheduler", {"place_batch": 64, "max_kills": 0}),
        ("scheduler", {"headroom_percent": 0, "breaker_failures": 0, "require_gpu": True}),
        ("node", {"headroom": ("disk:0", "cpu:100")}),
        ("scheduler", {"push_nodes": ("studio:9000", "https://render.example:443:-2")}),
        ("node", {"listen": "[::]:0"}),
        ("node", {"cache_bytes": 0}),
        ("node", {"paths": ("/mnt/media=/m", "/=/all of it")}),
        ("artifacts", {"root": "s3://bucket/deep/prefix", "endpoint": "http://127.0.0.1:9000"}),
        ("artifacts", {"root": "gs://bucket", "object_roots": ("az://films/", "s3:/")}),
        ("store", {"redis_url": "unix:///run/redis.sock"}),
        ("store", {"redis_url": "redis+sentinel://a:1,b:2/fleet"}),
        ("store", {"redis_url": "rediss+sentinel://a,b/fleet"}),
        ("store", {"redis_url": "rediss+cluster://a:1,b:2", "cells": 64}),
        ("store", {"prefix": "team-a.sched_2", "cell": "eu1"}),
        ("server", {"port": 0, "host": "::", "token": "t" * 16}),
        ("catalogue", {"url": "https://user:word@models.example:8443/list.json", "file": "list.json"}),
        ("node", {"slots": 0, "labels": ("studio-b",), "scheduler": "https://fleet.example"}),
    ],
)
def test_values_at_the_edge_are_fine(section: str, changes: dict[str, Any]) -> None:
    assert problems(section, **changes) == []


def test_a_password_in_an_address_is_not_repeated() -> None:
    assert "hunter2" not in " ".join(problems("store", redis_url="reds://:hunter2@r:1"))
    assert "hunter2" not in " ".join(problems("catalogue", url="htps://me:hunter2@r:1"))
