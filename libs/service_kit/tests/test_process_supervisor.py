"""A supervised process is started again when it dies, and never outlives its supervisor."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
import pytest
from service_kit.errors import UnavailableError
from service_kit.process_supervisor import SupervisedProcess
from testkit.waiting import eventually

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


async def test_a_stopped_process_stays_stopped():
    process = supervised(READY, [])
    await process.start()
    pid = process.pid
    await process.stop()
    assert process.restarts == 0
    assert not psutil.pid_exists(pid)


SUPERVISOR = """
import subprocess, sys, time
argv = [sys.executable, "-m", "cli.tether", "x", *sys.argv[1:]]
child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), child.pid, flush=True)
time.sleep(300)
"""


SLEEPER = ("sleep", "300")
STUBBORN_SLEEPER = ("sh", "-c", "trap '' TERM HUP; exec sleep 300")


async def start_tethered(
    lock: Path, port: int, program: tuple[str, ...] = SLEEPER
) -> tuple[asyncio.subprocess.Process, int]:
    """A supervisor, and the process id of the program that it has tethered."""
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(port), str(lock), *program), stdout=PIPE
    )
    assert supervisor.stdout is not None
    word, _, tether_pid = (await supervisor.stdout.readline()).decode().split()
    assert word == "READY"
    (sleeper,) = psutil.Process(int(tether_pid)).children()
    return supervisor, sleeper.pid


async def test_a_tethered_program_ends_when_its_supervisor_is_killed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        supervisor, sleeper = await start_tethered(tmp_path / "lock", port)
        supervisor.kill()
        await supervisor.wait()
        await eventually(lambda: not psutil.pid_exists(sleeper))


async def test_a_program_waits_until_an_orphaned_one_has_left_the_folder(tmp_path):
    lock = tmp_path / "lock"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        supervisor, orphan = await start_tethered(lock, port, STUBBORN_SLEEPER)
        supervisor.kill()
        await supervisor.wait()

        second = asyncio.create_task(start_tethered(lock, port))
        done, _ = await asyncio.wait({second}, timeout=0.7)
        assert not done
        os.kill(orphan, signal.SIGKILL)
        supervisor, sleeper = await second
        assert not psutil.pid_exists(orphan)
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
