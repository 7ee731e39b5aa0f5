"""What a killed mill left on a folder has ended before another one works there."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from modelmill_cli import process_group
from modelmill_cli.process_group import end_leftovers
from modelmill_cli.state_folder import StateFolder
from modelmill_service_kit.endings import MARK, mark_below
from modelmill_testkit.waiting import eventually

LOOP = "import time; print('up', flush=True); time.sleep(300)"
STUBBORN = f"import signal; signal.signal(15, signal.SIG_IGN); {LOOP}"
WITH_CHILD = (
    f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}],"
    " start_new_session=True); time.sleep(300)"
)


def left_on(state: StateFolder, code: str) -> subprocess.Popen[bytes]:
    """A process as a mill that works on this folder starts one."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {MARK: mark_below(state.mark, "trainer-1")},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"up\n"
    return process


async def test_hung_processes_and_orphans_below_them_are_killed_and_those_of_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process_group, "PATIENCE_SECONDS", 0.3)
    mine, others = StateFolder(tmp_path / "mine"), StateFolder(tmp_path / "mine-too")
    parent, other = left_on(mine, WITH_CHILD), left_on(others, STUBBORN)
    try:
        (orphan,) = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait()
        lines: list[str] = []

        await end_leftovers(mine, lambda _name, line: lines.append(line))

        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
        assert "left: 1 process" in lines[0]
    finally:
        other.kill()
        other.wait()


async def test_who_leaves_by_itself_is_given_the_time(tmp_path: Path):
    state = StateFolder(tmp_path / "state")
    left = left_on(state, LOOP)
    lines: list[str] = []
    ending = asyncio.create_task(end_leftovers(state, lambda _name, line: lines.append(line)))
    await eventually(lambda: lines)
    left.terminate()
    left.wait()
    await ending
    assert len(lines) == 1


async def test_a_folder_that_nobody_was_killed_on_costs_no_word(tmp_path: Path):
    lines: list[str] = []
    await end_leftovers(StateFolder(tmp_path), lambda _name, line: lines.append(line))
    assert lines == []
