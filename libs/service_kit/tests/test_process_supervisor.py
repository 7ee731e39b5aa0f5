"""A supervised process is started again when it dies, and never outlives its supervisor."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
import pytest
from modelmill_service_kit import process_supervisor
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.process_supervisor import SupervisedProcess
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.tier("test")

READY = (
    "import sys; print('READY grpc=7', flush=True); print('hello', flush=True); sys.stdin.read()"
)


def supervised(code: str, lines: list[str]) -> SupervisedProcess:
    argv = [sys.executable, "-c", code]
    return SupervisedProcess("child", argv, {}, lambda _name, line: lines.append(line))


async def test_ports_come_from_the_ready_line_and_other_lines_are_passed_on():
    lines: list[str] = []
    process = supervised(READY, lines)
    await process.start()
    try:
        assert process.ports == {"grpc": 7}
        await eventually(lambda: "hello" in lines)
    finally:
        await process.stop()


async def test_a_log_line_that_has_the_word_is_not_the_ready_line():
    log_first = (
        f"print('a log with READY in it', flush=True); import time; time.sleep(0.2); {READY}"
    )
    process = supervised(log_first, [])
    await process.start()
    try:
        assert process.ports == {"grpc": 7}
    finally:
        await process.stop()


async def test_a_killed_process_is_started_again():
    process = supervised(READY, [])
    await process.start()
    try:
        first = process.pid
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: process.pid != first and psutil.pid_exists(process.pid))
        assert process.restarts == 1
    finally:
        await process.stop()


async def test_a_process_that_ends_at_once_is_reported_with_its_last_line():
    process = supervised("import sys; sys.exit('port 80 is taken')", [])
    with pytest.raises(UnavailableError, match="port 80 is taken"):
        await process.start()


async def test_a_process_that_its_watchdog_ended_is_reported_with_what_helps():
    traceback = 'Timeout (0:00:06)!\\n  File "<frozen runpy>", line 198 in _run_module_as_main'
    process = supervised(f"import sys; sys.exit('{traceback}')", [])
    with pytest.raises(UnavailableError, match=r"heavy load.*CHILD_BLOCKED_SECONDS=60"):
        await process.start()


async def test_a_process_that_is_not_ready_in_time_is_reported_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process_supervisor, "START_SECONDS", 0.1)
    process = supervised("import sys; sys.stdin.read()", [])
    try:
        with pytest.raises(UnavailableError, match=r"not ready within 0\.1 s"):
            await process.start()
    finally:
        await process.stop()


async def test_a_stopped_process_stays_stopped():
    process = supervised(READY, [])
    await process.start()
    pid = process.pid
    await process.stop()
    assert process.restarts == 0
    assert not psutil.pid_exists(pid)


CHILD_WITH_CHILDREN = """
import os, subprocess, sys
# One in our group with our pipes, as a broker under a wrapper; one in a group of its own, as jobs.
for own_group in (False, True):
    subprocess.Popen([sys.executable, "-c", CODE], start_new_session=own_group)
print("READY", flush=True)
sys.stdin.read()
""".replace("CODE", repr("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"))


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether they have ended, waited for or not: nobody here is the parent of an orphan."""
    return all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in processes)


async def with_children(lines: list[str]) -> tuple[SupervisedProcess, list[psutil.Process]]:
    process = supervised(CHILD_WITH_CHILDREN, lines)
    await process.start()
    return process, below(process.pid)


async def test_a_killed_process_is_started_again_although_its_children_hold_its_pipes():
    process, orphans = await with_children([])
    try:
        assert len(orphans) == 2
        first = process.pid
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: process.restarts == 1 and process.pid != first)
        assert all_gone(orphans)
    finally:
        await process.stop()


async def test_a_stop_ends_what_the_process_has_started_also_when_that_does_not_want_to():
    process, children = await with_children([])
    await process.stop()
    assert all_gone(children)


async def test_a_process_that_does_not_listen_is_started_again_by_force():
    lines: list[str] = []
    process = supervised(f"import signal; signal.signal(15, signal.SIG_IGN); {READY}", lines)
    await process.start()
    try:
        first = process.pid
        process.restart(within_seconds=0.1)
        await eventually(lambda: process.pid != first and process.is_running)
        assert any("did not end within" in line for line in lines)
    finally:
        await process.stop(within_seconds=0.1)


async def test_a_frozen_process_is_killed_and_started_again():
    process = supervised(READY, [])
    await process.start()
    try:
        first = process.pid
        os.kill(first, signal.SIGSTOP)
        process.kill("says nothing")
        await eventually(lambda: process.pid != first and process.is_running)
    finally:
        await process.stop()


async def test_who_ends_again_and_again_is_given_up_with_its_last_words():
    argv = [sys.executable, "-c", "import sys; print('READY', flush=True); sys.exit('no licence')"]
    process = SupervisedProcess("child", argv, {}, lambda _name, _line: None, most_short_lives=3)
    await process.start()
    with pytest.raises(UnavailableError, match=r"child ended 3 times .* no licence"):
        await asyncio.wait_for(process.given_up(), 120)
    await process.stop()
    assert not process.is_running


async def test_a_stop_while_it_is_started_again_leaves_no_process(tmp_path):
    count = tmp_path / "starts"
    # Each start but the first takes longer than anybody waits.
    code = (
        f"import os, time; os.open({str(count)!r}, os.O_CREAT | os.O_EXCL);"
        " print('READY', flush=True); time.sleep(300)"
    )
    slow = f"import os, time\nif os.path.exists({str(count)!r}): time.sleep(300)\n{code}"
    process = supervised(slow, [])
    await process.start()
    first = process.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: process.pid != first and process.is_running)
    second = process.pid
    await process.stop()
    assert not psutil.pid_exists(second)
    await asyncio.sleep(0)
    assert process.pid == second


async def test_a_line_that_is_longer_than_any_log_does_not_keep_the_process_from_writing():
    lines: list[str] = []
    process = supervised(
        "import sys; print('READY', flush=True);"
        " print('x' * 3_000_000, flush=True); print('after', flush=True); sys.stdin.read()",
        lines,
    )
    await process.start()
    try:
        await eventually(lambda: "after" in lines)
    finally:
        await process.stop()


SUPERVISOR = """
import subprocess, sys, time
argv = [sys.executable, "-m", "modelmill_cli.parent_watchdog", *sys.argv[1:]]
child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), child.pid, flush=True)
time.sleep(300)
"""


SLEEPER = ("/bin/sh", "-c", "echo READY; exec sleep 300")
STUBBORN_SLEEPER = ("/bin/sh", "-c", "trap '' TERM HUP; echo READY; exec sleep 300")


async def start_tethered(
    lock: Path, program: tuple[str, ...] = SLEEPER
) -> tuple[asyncio.subprocess.Process, int]:
    """A supervisor, and the process id of the program that it has tethered."""
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(lock), *program), stdout=PIPE
    )
    assert supervisor.stdout is not None
    word, pid = (await supervisor.stdout.readline()).decode().split()
    assert word == "READY"
    return supervisor, int(pid)


async def test_a_tethered_program_ends_when_its_supervisor_is_killed(tmp_path):
    supervisor, sleeper = await start_tethered(tmp_path / "lock")
    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not psutil.pid_exists(sleeper))


async def test_a_program_waits_until_an_orphaned_one_has_left_the_folder(tmp_path):
    lock = tmp_path / "lock"
    supervisor, pid = await start_tethered(lock, STUBBORN_SLEEPER)
    orphan = psutil.Process(pid)
    supervisor.kill()
    await supervisor.wait()

    second = asyncio.create_task(start_tethered(lock))
    done, _ = await asyncio.wait({second}, timeout=0.7)
    assert not done
    orphan.kill()
    supervisor, sleeper = await second
    assert all_gone([orphan])
    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not psutil.pid_exists(sleeper))


async def test_a_start_that_is_cancelled_at_any_moment_leaves_no_process():
    own = psutil.Process()
    before = {child.pid for child in own.children(recursive=True)}
    for turns in range(12):
        process = supervised("import sys; sys.stdin.read()", [])
        starting = asyncio.create_task(process.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await process.stop()
    assert {child.pid for child in own.children(recursive=True)} == before
