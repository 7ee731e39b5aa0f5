"""The end of a child process is its own, on every event loop that our services run on."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest
import uvloop
from modelmill_service_kit.process_supervisor import start_process

pytestmark = pytest.mark.tier("test")

HOLDS_THE_PIPES = ("sh", "-c", "sleep 30 & echo hi; read line; exit 3")


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_process_has_ended_although_others_hold_its_pipes(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
):
    async def status() -> int:
        process = await start_process(*HOLDS_THE_PIPES, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"hi\n"
        ended = asyncio.create_task(process.wait())
        await asyncio.sleep(0)  # who asks after the end was always answered at once
        process.stdin.write(b"go\n")
        try:
            return await asyncio.wait_for(ended, 20)
        finally:
            process.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(status()) == 3
