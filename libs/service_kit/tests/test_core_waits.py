"""Whether a silent process worked, waited for a core, or did neither."""

import os
import subprocess
import sys
import time

import pytest
from modelmill_service_kit.core_waits import CoreWaits

WORK_SECONDS = 0.5
RIVALS = 3
WORK = f"""
import time
input()
while time.process_time() < {WORK_SECONDS}: pass
print(time.process_time())
input()
"""


def started(script: str) -> subprocess.Popen[str]:
    """A process on the first core that we may use."""
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    os.sched_setaffinity(child.pid, [min(os.sched_getaffinity(0))])
    return child


def ended(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def test_what_a_process_waited_for_a_core_is_told_from_what_it_worked() -> None:
    rivals = [started("while True: pass") for _ in range(RIVALS)]
    child = started(WORK)
    try:
        waits, began = CoreWaits(child.pid), time.monotonic()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        worked = float(child.stdout.readline())
        took, waited = time.monotonic() - began, waits.since_last_look()
    finally:
        for each in (child, *rivals):
            ended(each)

    assert took > 2 * worked
    assert waited == pytest.approx(took - worked, rel=0.2)


def test_a_process_that_waits_for_something_else_waited_for_no_core() -> None:
    child = started("print('ready', flush=True)\ninput()")
    try:
        assert child.stdout is not None
        child.stdout.readline()
        waits, began = CoreWaits(child.pid), time.monotonic()
        while time.monotonic() - began < WORK_SECONDS:
            pass
        assert waits.since_last_look() < WORK_SECONDS / 2
    finally:
        ended(child)


def test_of_a_process_that_is_gone_nothing_is_said() -> None:
    child = started("pass")
    waits = CoreWaits(child.pid)
    ended(child)
    assert waits.since_last_look() == 0.0
