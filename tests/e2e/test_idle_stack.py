"""What only time brings out: services do things by themselves as rarely as every ten minutes."""

import asyncio
from pathlib import Path

import pytest
from modelmill_cli.stack import StackOptions
from modelmill_job_index.snapshots import EVERY_SECONDS
from modelmill_testkit.ports import free_port

from tests.e2e.conftest import Loop, running_loop

pytestmark = [pytest.mark.timeout(900), pytest.mark.tier("drills")]


def pids_of(loop: Loop) -> dict[str, int]:
    return {name: process.pid for name, process in loop.stack.processes.items()}


async def test_a_stack_that_nobody_uses_for_eleven_minutes_restarts_nothing(tmp_path: Path):
    async with running_loop(tmp_path, StackOptions(http_port=free_port())) as loop:
        before = pids_of(loop)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.stack.runs(), EVERY_SECONDS + 60)

        assert pids_of(loop) == before
