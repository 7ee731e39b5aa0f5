"""How the engine's process is started and ended, under the loops that it is started by."""

import asyncio
import os
from collections.abc import Callable

import psutil
import pytest
import uvloop
from modelmill_inference.adapters.child_process import ChildProcess
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.cancelling import cancelled_after

CALENDAR = "calendar"
"""A module that ends by itself and never reads its socket."""
ENGINE = "modelmill_inference.children.command"
"""One that lives until its parent hangs up."""
LOOPS = pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def test_a_child_is_started_without_forking_this_process() -> None:
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))

    async def start_and_close() -> int:
        child = await ChildProcess.start(CALENDAR)
        return await child.kill()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(start_and_close())

    assert forks == []


def test_a_child_that_ends_is_known_to_be_gone() -> None:
    async def outlive() -> None:
        child = await ChildProcess.start(CALENDAR)
        try:
            with pytest.raises(UnavailableError):
                await child.receive()
        finally:
            await child.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(outlive())


@LOOPS
@pytest.mark.parametrize("turns", range(1, 5))
def test_a_start_that_is_cancelled_leaves_no_process(loop_factory: LoopFactory, turns: int) -> None:
    async def start() -> None:
        started = await cancelled_after(turns, ChildProcess.start(ENGINE))
        if started is not None:
            await started.kill()

    before = set(psutil.Process().children())
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(start())
        assert set(psutil.Process().children()) <= before


@LOOPS
@pytest.mark.parametrize("end", [ChildProcess.kill, ChildProcess.close])
def test_an_end_that_is_cancelled_is_reached(
    loop_factory: LoopFactory, end: Callable[[ChildProcess], asyncio.Future[int]]
) -> None:
    async def start_and_end() -> None:
        child = await ChildProcess.start(ENGINE)
        await cancelled_after(1, end(child))
        assert not psutil.pid_exists(child.pid)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(start_and_end())
