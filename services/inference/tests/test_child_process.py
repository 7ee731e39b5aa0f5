"""How the engine's process is started and ended, under the loop that the service runs on."""

import asyncio
import os

import pytest
import uvloop
from inference.adapters.child_process import ChildProcess
from service_kit.errors import UnavailableError

CALENDAR = "calendar"
"""A module that ends by itself and never reads its socket."""


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
