"""`python -m tests.bench.demo`: run the demo on an empty state folder, and keep what it measured.

Writes deploy/demo/measured.json with commit, machine and load. What others do on the machine
lengthens it: the load average when it began stands beside its time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import run_record

RESULT = Path("deploy/demo/measured.json")
OF_ONE_RUN = ("report", "request", "steps", "jobs")
"""Fields with paths, addresses and ids of one run alone."""


def kept(figures: Mapping[str, Any], load: float) -> dict[str, Any]:
    """What of a demo's figures stands for the project.

    Args:
        load: Load average when the run began.
    """
    own = {name: value for name, value in figures.items() if name not in OF_ONE_RUN}
    run = run_record.circumstances(())
    about = {name: run[name] for name in ("commit", "dirty", "date")}
    return {
        **about,
        "command": "python -m tests.bench.demo",
        "installs": "done before",
        "load_average_before": load,
        **own,
    }


def main() -> int:
    """Run it and keep the figures; the demo's status."""
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="demo-") as place:
        mill = [sys.executable, "-m", "modelmill_cli.main", "--state", place]
        status = subprocess.run([*mill, "demo", "--http-port", "0"], check=False).returncode
        if status == 0:
            figures = json.loads((Path(place) / "demo.json").read_text(encoding="utf-8"))
            run_record.keep(kept(figures, load), [], RESULT)
    return status


if __name__ == "__main__":
    sys.exit(main())
