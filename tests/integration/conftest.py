"""What several tests of this folder need once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

VERSION = "10.0.11"
INSTALL_S = 90


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official client in it."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("node and npm are not on PATH")
    folder = tmp_path_factory.mktemp("signalr-npm")
    names = [f"@microsoft/signalr@{VERSION}", f"@microsoft/signalr-protocol-msgpack@{VERSION}"]
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not fetch the official client within {INSTALL_S} s")
    # A version that does not exist is a fault of ours; all else is the network, or what this machine lacks.
    assert not {"E404", "ETARGET"}.intersection(done.stderr.split()), done.stderr[-500:]
    if done.returncode:
        pytest.skip(f"npm could not fetch the official client: {done.stderr[-200:]}")
    return folder
