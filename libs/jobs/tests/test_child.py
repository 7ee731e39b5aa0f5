"""The child's side of a job: what it costs, and that it is not started by hand."""

import subprocess
import sys


def test_a_child_pays_for_nothing_but_the_standard_library():
    script = (
        "import sys; before = set(sys.modules); import modelmill_jobs.child;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert printed.stdout.strip() == b"['modelmill_jobs']"


def test_a_child_module_started_by_hand_says_how_it_is_started():
    script = "from modelmill_jobs.child import run_child_main; run_child_main(lambda port: {})"
    ended = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True
    )

    assert ended.returncode == 1
    assert b"run_child" in ended.stderr
