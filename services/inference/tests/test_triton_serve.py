"""How deploy/triton starts a server: closed unless it is told otherwise."""

import os
import subprocess
import sys
from pathlib import Path

SERVE = Path(__file__).parents[3] / "deploy" / "triton" / "serve.py"


def refusal(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, SERVE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    return done.stderr


def test_other_machines_reach_it_only_with_a_token() -> None:
    assert "set TRITON_TOKEN" in refusal(TRITON_ADDRESS="0.0.0.0")


def test_where_there_is_no_triton_it_says_where_to_get_one() -> None:
    # This environment has the client alone.
    assert "make triton-test" in refusal(TRITON_ADDRESS="0.0.0.0", TRITON_TOKEN="one")
