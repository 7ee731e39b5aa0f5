"""A command that needs a running stack ends when the stack fails beneath it."""

import asyncio

import pytest
from modelmill_cli.errors import StackFailedError
from modelmill_cli.logged_stack import failing_with


async def fails() -> None:
    raise StackFailedError("trainer ended ten times")


async def test_work_on_a_stack_that_fails_ends_with_the_reason_of_the_stack():
    with pytest.raises(StackFailedError, match="ten times"):
        async with failing_with(fails()), asyncio.timeout(10):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_goes_wrong_in_the_work_is_told_as_it_is():
    with pytest.raises(ValueError, match="its own"):
        async with failing_with(asyncio.sleep(300)):
            raise ValueError("its own")


async def test_work_that_is_cancelled_is_cancelled():
    async def work() -> None:
        async with failing_with(asyncio.sleep(300)):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
