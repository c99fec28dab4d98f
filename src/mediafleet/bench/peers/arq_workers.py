"""Two of arq's commands side by side, since one runs a single process."""

from __future__ import annotations

import subprocess
import sys

from .seam import WORKERS

QUIET = {"version": 1}
"""Its own default writes two lines a job."""

if __name__ == "__main__":
    command = [
        sys.executable,
        "-m",
        "arq",
        "peers.arq_peer.WorkerSettings",
        "--custom-log-dict",
        "peers.arq_workers.QUIET",
    ]
    processes = [subprocess.Popen(command) for _ in range(WORKERS)]
    for process in processes:
        process.wait()
