"""What a test file costs is told by file, with what its processes cost, and of all workers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BURN = "import time\nwhile time.process_time() < 0.5: pass"
CHEAP = "def test_it(): pass\n"
IN_A_CHILD = f"""
import subprocess, sys
def test_it(): subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
"""


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_files_are_listed_by_what_they_and_their_processes_cost(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "test_cheap.py").write_text(CHEAP)
    (tmp_path / "test_dear.py").write_text(IN_A_CHILD)
    plugin = "-pmodelmill_testkit.processor_times"
    command = [sys.executable, "-m", "pytest", "-c/dev/null", "-pno:cacheprovider", plugin]

    # This test may run in a worker itself.
    env = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [*command, workers, "."], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    lines = re.findall(r"^ *([\d.]+) +[\d.]+  (\S+|\(.*\))$", done.stdout, re.MULTILINE)
    costs = {file: float(seconds) for seconds, file in lines}
    assert set(costs) == {"test_dear.py", "test_cheap.py", "(imports and collecting)", "all"}
    assert 0.5 <= costs["test_dear.py"] < costs["all"]
    assert costs["test_cheap.py"] < 0.2
    assert [*costs].index("test_dear.py") < [*costs].index("test_cheap.py")
