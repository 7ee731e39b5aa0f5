"""What the process of a test is set to, and those that it starts."""

import gc
import subprocess
import sys


def test_garbage_of_tests_is_found_and_what_was_imported_before_is_left_alone() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_threads_of_child_processes_wait_without_turning() -> None:
    script = "import os; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert said.stdout.strip() == "PASSIVE", said.stderr
