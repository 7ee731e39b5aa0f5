"""A vLLM server that the adapter starts: supervised as other engines, and never left behind."""

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path

import psutil
import pytest
from modelmill_inference.adapters.vllm import VllmEngine, VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually

from . import fake_vllm
from .vllm_cases import END, expected, loaded, starting_with, tokens_of

pytestmark = pytest.mark.tier("test")

COMMAND = shlex.join([sys.executable, fake_vllm.__file__])
WITH_WORKER = shlex.join(["sh", "-c", f'sleep 300 & exec {COMMAND} "$@"', "vllm"])
"""The server has a process of its own, as vLLM has for its engine."""


def started(folder: Path, command: str = COMMAND, max_failures: int = 5) -> VllmEngine:
    options = VllmOptions(
        command=command, load_seconds=60, hang_seconds=3.0, max_failures=max_failures
    )
    return VllmKind(options).engine_for(folder, END)


async def test_a_command_is_started_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    engine = started(tmp_path, WITH_WORKER)
    await engine.load()
    guard = psutil.Process(engine.server.pid)
    (server,) = guard.children()
    (worker,) = server.children()
    assert await tokens_of(engine) == expected(tmp_path.name)
    assert not any("VLLM" in word or "key" in word for word in server.cmdline())

    await engine.close()

    await eventually(lambda: not server.is_running() and not guard.is_running())
    await eventually(lambda: is_gone(worker))
    with pytest.raises(UnavailableError):
        await tokens_of(engine)


async def test_a_server_ends_with_the_process_that_guards_it_however_that_ends(
    tmp_path: Path,
) -> None:
    engine = started(tmp_path)
    await engine.load()
    guard = psutil.Process(engine.server.pid)
    (server,) = guard.children()

    guard.kill()

    await eventually(lambda: is_gone(server))
    await engine.close()


async def is_gone(process: psutil.Process) -> bool:
    """Ended, though perhaps nobody has asked for its status yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("first_token", [fake_vllm.DIE, fake_vllm.HANG])
async def test_a_server_that_dies_or_hangs_fails_its_requests_and_comes_back(
    tmp_path: Path, first_token: int
) -> None:
    async with loaded(started(tmp_path)) as engine:
        first = engine.server.pid
        assert first is not None
        (server,) = psutil.Process(first).children()
        with pytest.raises(UnavailableError):
            await tokens_of(engine, starting_with(first_token))

        async def back() -> bool:
            try:
                return await tokens_of(engine) == expected(tmp_path.name)
            except UnavailableError:
                return False

        await eventually(back)
        assert engine.server.pid != first
        await eventually(lambda: is_gone(server))


@pytest.mark.parametrize("command", [f"{COMMAND} --refuses", "/no/such/python"])
async def test_a_server_that_ends_while_it_loads_is_a_typed_error(
    tmp_path: Path, command: str
) -> None:
    engine = started(tmp_path, command)

    with pytest.raises(PreconditionError, match="refused the model"):
        await engine.load()
    await engine.close()


async def test_a_server_that_does_not_come_up_in_time_is_a_typed_error_and_ends(
    tmp_path: Path,
) -> None:
    """As with a tokenizer that takes for ever to load."""
    note = tmp_path / "pid"
    command = shlex.join(["sh", "-c", f"echo $$ > {note} && exec sleep 300", "vllm"])
    engine = VllmKind(VllmOptions(command=command, load_seconds=5)).engine_for(tmp_path, END)

    with pytest.raises(UnavailableError, match="did not load within 5 s"):
        await engine.load()
    assert not psutil.pid_exists(int(note.read_text()))
    await engine.close()


async def test_a_server_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async with loaded(started(tmp_path, max_failures=1)) as engine:
        for _ in range(2):
            pid = await eventually(lambda: engine.server.pid)
            os.kill(psutil.Process(pid).children()[0].pid, signal.SIGKILL)
            await eventually(lambda pid=pid: engine.server.pid != pid)

        assert "2 times in a row" in await asyncio.wait_for(engine.until_broken(), 60)
