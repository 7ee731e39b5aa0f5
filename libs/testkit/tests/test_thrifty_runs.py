"""What the process of a test is set to, and those that it starts."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

PROPERTY = """
from hypothesis import given, strategies as st
seen = []
@given(st.integers())
def test_it(number): seen.append(number)
def test_how_often(): print("examples:", len(seen))
"""


def test_garbage_of_tests_is_found_and_what_was_imported_before_is_left_alone() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_threads_of_child_processes_wait_without_turning() -> None:
    script = "import os; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert said.stdout.strip() == "PASSIVE", said.stderr


@pytest.mark.parametrize(("tier", "most"), [("quick", 15), ("check", 100)])
def test_a_property_is_tried_less_often_where_somebody_waits(
    tmp_path: Path, tier: str, most: int
) -> None:
    (tmp_path / "test_property.py").write_text(PROPERTY)
    plugins = [f"-pmodelmill_testkit.{name}" for name in ("tiers", "thrifty_runs")]
    command = [sys.executable, "-m", "pytest", "-s", "-c/dev/null", "-pno:cacheprovider", *plugins]
    run = subprocess.run(
        [*command, f"--tier={tier}", "."], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert f"examples: {most}" in run.stdout
