"""A child process of a job: what it costs and inherits, and what a start leaves behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from modelmill_jobs.children import ChildProcess, environment_for_children
from modelmill_testkit.cancelling import cancelled_after


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


def test_a_child_does_not_inherit_what_opens_doors(monkeypatch):
    secret = ("TRAINER_NATS_TOKEN", "TRAINER_SERVICE_SECRET", "AWS_SECRET_ACCESS_KEY")
    for name in (*secret, "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment = environment_for_children()

    assert environment["OMP_NUM_THREADS"] == "1"
    assert "x" not in environment.values()


@pytest.mark.parametrize("turns", range(1, 16))
async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path, turns: int):
    before = set(psutil.Process().children())
    started = await cancelled_after(turns, ChildProcess.start("calendar", {}, folder=tmp_path))
    if started is not None:
        await started.close()

    assert set(psutil.Process().children()) <= before
