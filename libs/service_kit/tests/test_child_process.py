"""How a child process is started and ended under either event loop, and what is left of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from modelmill_service_kit.child_process import (
    GRACE_SECONDS,
    ChildProcess,
    environment_for_children,
)
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.cancelling import cancelled_after
from modelmill_testkit.waiting import eventually

ECHO = """
import os, sys
print("a library prints", flush=True)
for line in sys.stdin:
    os.write(int(sys.argv[1]), line.encode())
"""
LAST_WORDS = """
import os, sys
os.read(0, 1)
os.write(int(sys.argv[1]), b'{"said": "last"}\\n{"half')
"""
PARENT = """
import os, subprocess, sys
held = subprocess.Popen(["sleep", "600"], pass_fds=[int(sys.argv[1])])
os.write(int(sys.argv[1]), b'{"pid": %d}\\n' % held.pid)
"""
WAITING = "import sys; sys.stdin.read()"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine in a loop of its own."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(work)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Coroutine[Any, Any, ChildProcess]]:
    """Starts a child that runs a script."""

    def start(script: str) -> Coroutine[Any, Any, ChildProcess]:
        (tmp_path / "scripted_child.py").write_text(script)
        log_file, env = tmp_path / "child.log", {"PYTHONPATH": str(tmp_path)}
        return ChildProcess.start("scripted_child", log_file=log_file, env=env)

    return start


def test_both_sides_speak_and_what_is_printed_is_the_log(run, start) -> None:
    async def talk() -> tuple[dict[str, Any], int, str]:
        child = await start(ECHO)
        child.send({"number": 1})
        said = await child.receive()
        return said, await child.close(GRACE_SECONDS), child.log_tail()

    assert run(talk()) == ({"number": 1}, 0, "a library prints")


def test_a_child_is_started_without_forking_this_process(run, start) -> None:
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))

    async def start_and_close() -> None:
        await (await start(WAITING)).close()

    run(start_and_close())

    assert forks == []


def test_the_last_words_of_a_child_are_heard_whatever_it_was_told_meanwhile(run, start) -> None:
    async def outlive() -> list[dict[str, Any]]:
        child = await start(LAST_WORDS)
        try:
            while not child.has_ended:
                child.send({"unread": "x" * 1000})
                await asyncio.sleep(0)
            said = [message async for message in child.messages()]
            with pytest.raises(UnavailableError):
                await child.receive()
            return said
        finally:
            await child.close()

    assert run(outlive()) == [{"said": "last"}]


def test_what_a_child_started_is_gone_once_it_has_ended_itself(run, start) -> None:
    async def outlive() -> None:
        child = await start(PARENT)
        said = [message async for message in child.messages()]
        assert (await child.wait(), await child.close()) == (0, 0)
        await eventually(lambda: not is_running(said[0]["pid"]))

    run(outlive())


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(("grace_seconds", "status"), [(0.0, -signal.SIGKILL), (60.0, 0)])
def test_a_child_may_leave_by_itself_within_its_grace(
    run, start, grace_seconds: float, status: int
) -> None:
    async def end() -> int:
        return await (await start(WAITING)).close(grace_seconds)

    assert run(end()) == status


@pytest.mark.parametrize("turns", range(1, 16))
def test_a_start_that_is_cancelled_leaves_no_process(run, start, turns: int) -> None:
    async def start_and_cancel() -> None:
        started = await cancelled_after(turns, start(WAITING))
        if started is not None:
            await started.close()

    before = set(psutil.Process().children())
    descriptors = psutil.Process().num_fds()
    run(start_and_cancel())

    assert set(psutil.Process().children()) <= before
    assert psutil.Process().num_fds() <= descriptors


@pytest.mark.parametrize("grace_seconds", [0.0, GRACE_SECONDS])
def test_an_end_that_is_cancelled_is_reached(run, start, grace_seconds: float) -> None:
    async def start_and_end() -> None:
        child = await start(WAITING)
        await cancelled_after(1, child.close(grace_seconds))
        assert not psutil.pid_exists(child.pid)

    run(start_and_end())


async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "waiting_child.py").write_text(WAITING)
    script = (
        "import asyncio, os, signal\n"
        "from modelmill_service_kit.child_process import ChildProcess\n"
        "async def main():\n"
        f"    env = {{'PYTHONPATH': {str(tmp_path)!r}}}\n"
        "    child = await ChildProcess.start('waiting_child', env=env)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], stdout=subprocess.PIPE, check=False
    )

    await eventually(lambda: not is_running(int(parent.stdout)))


def test_a_child_does_not_inherit_credentials(monkeypatch) -> None:
    secret = ("TRAINER_NATS_TOKEN", "TRAINER_SERVICE_SECRET", "AWS_SECRET_ACCESS_KEY")
    secret += ("TRAINER_WANDB_API_KEY", "INFERENCE_VLLM_KEY")
    for name in (*secret, "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment = environment_for_children()

    assert environment["OMP_NUM_THREADS"] == "1"
    assert "x" not in environment.values()
