"""A child process that died is gone at once, with all that it had started."""

import signal
from pathlib import Path

import psutil
import pytest
from jobs.children import ChildProcess
from testkit.waiting import eventually

DIES = """
import os, signal, subprocess
from jobs.child import run_child_main

def main(port):
    left = subprocess.Popen(["sleep", "300"])  # has our stdin, as pools of processes do
    port.report("started", done=left.pid)
    os.kill(os.getpid(), signal.SIGKILL)

run_child_main(main)
"""


async def test_a_killed_child_has_ended_although_its_children_hold_its_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "dies.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = await ChildProcess.start("dies", {}, folder=tmp_path)
    try:
        (said,) = [message async for message in child.messages()]
        left = psutil.Process(said["done"])
        await eventually(lambda: is_gone(left), within=5)
        assert await child.wait() == -signal.SIGKILL
    finally:
        await child.close()


def is_gone(process: psutil.Process) -> bool:
    """Ended, though perhaps nobody has asked for its status yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
