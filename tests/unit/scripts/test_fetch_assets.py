"""The console's libraries are brought whole or not at all; npm is played by a small program."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

NPM = """\
import io, pathlib, sys, tarfile
*_, package = sys.argv
name, _, version = package.rpartition("@")
missing = pathlib.Path(__file__).with_name("missing").read_text().split()
if name in missing:
    sys.exit("npm error code ENOTFOUND\\nnpm error getaddrinfo failed")
files = pathlib.Path(__file__).with_name(name + ".files").read_text().split()
with tarfile.open(f"{name}-{version}.tgz", "w:gz") as archive:
    for file in files:
        content = f"{package} {file}".encode()
        entry = tarfile.TarInfo(f"package/{file}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
"""


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("fetch_assets", ROOT / "scripts/fetch_assets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


assets = load_script()
WANTED = {"htmx.org": "4.0.1", "uplot": "1.6.32"}


@pytest.fixture
def npm(tmp_path: Path) -> list[str]:
    """A command that answers `npm pack` from files beside it."""
    (tmp_path / "npm.py").write_text(NPM, encoding="utf-8")
    (tmp_path / "missing").touch()
    for package, files in assets.FILES.items():
        (tmp_path / f"{package}.files").write_text("\n".join(files), encoding="utf-8")
    return [sys.executable, str(tmp_path / "npm.py")]


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "static" / "vendor"


def test_every_file_is_there_in_the_version_that_was_named(npm: list[str], vendor: Path) -> None:
    assert not assets.are_present(WANTED, vendor)
    assets.fetch(npm, WANTED, vendor)
    assert assets.are_present(WANTED, vendor)
    assert (vendor / "hx-sse.min.js").read_text(encoding="utf-8") == "htmx.org@4.0.1 dist/ext/hx-sse.min.js"
    assert [path.name for path in vendor.parent.iterdir()] == ["vendor"]


def test_a_new_version_or_a_lost_file_is_noticed(npm: list[str], vendor: Path) -> None:
    assets.fetch(npm, WANTED, vendor)
    assert not assets.are_present({**WANTED, "uplot": "1.7.0"}, vendor)
    (vendor / "uPlot.min.css").unlink()
    assert not assets.are_present(WANTED, vendor)


def test_what_the_last_version_left_behind_is_gone(npm: list[str], vendor: Path) -> None:
    assets.fetch(npm, WANTED, vendor)
    (vendor / "old.js").touch()
    assets.fetch(npm, WANTED, vendor)
    assert not (vendor / "old.js").exists()


def test_without_a_network_the_old_files_stay_and_a_sentence_says_what_to_do(
    npm: list[str], vendor: Path, tmp_path: Path
) -> None:
    assets.fetch(npm, WANTED, vendor)
    (tmp_path / "missing").write_text("uplot", encoding="utf-8")
    newer = {**WANTED, "htmx.org": "4.0.2"}
    with pytest.raises(assets.AssetsUnavailable, match=r"uplot@1\.6\.32 could not be loaded.*getaddrinfo failed"):
        assets.fetch(npm, newer, vendor)
    assert assets.are_present(WANTED, vendor)
    assert [path.name for path in vendor.parent.iterdir()] == ["vendor"]


def test_a_package_that_lacks_a_file_is_named(npm: list[str], vendor: Path, tmp_path: Path) -> None:
    (tmp_path / "uplot.files").write_text("LICENSE", encoding="utf-8")
    with pytest.raises(assets.AssetsUnavailable, match=r"uplot has no file dist/uPlot\.iife\.min\.js"):
        assets.fetch(npm, WANTED, vendor)
    assert not vendor.exists()


def test_an_npm_that_cannot_be_started_is_no_crash(vendor: Path, tmp_path: Path) -> None:
    with pytest.raises(assets.AssetsUnavailable, match="No such file"):
        assets.fetch([str(tmp_path / "nowhere")], WANTED, vendor)


def test_package_json_names_exact_versions_of_what_is_copied() -> None:
    versions = assets.read_versions()
    assert set(versions) == set(assets.FILES)
    assert all(version[0].isdigit() for version in versions.values())
