"""`make triton-test`: the engine contract through a Triton server, then what only Triton has."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.triton.running import PYTHON, ROOT, TOKEN, running_triton

CONTRACT = "services/inference/tests/test_engine_contract.py"
OWN = "tests/triton"


def main() -> int:
    """Exit status of the first part that failed, or 0."""
    if not PYTHON.exists():
        print(f"there is no {PYTHON.relative_to(ROOT)}: run `make triton-test`", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "triton.log"
        with running_triton(log) as triton:
            server = {"TRITON_URL": triton.url, "TRITON_TOKEN": TOKEN}
            status = _pytest({"CONTRACT_ENGINES": "triton"} | server, CONTRACT)
        if status:
            print(log.read_text()[-4000:], file=sys.stderr)
    return status or _pytest({}, OWN, *sys.argv[1:])


def _pytest(environment: dict[str, str], *arguments: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
