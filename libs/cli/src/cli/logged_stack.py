"""A stack whose processes write to one log file, for commands that need the terminal."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cli.commands.up import readable
from cli.stack import Stack, running_stack
from cli.stack_options import StackOptions
from cli.state_folder import StateFolder
from cli.system_errors import folder_error


@asynccontextmanager
async def logged_stack(
    state: StateFolder, options: StackOptions, log_file: Path
) -> AsyncIterator[Stack]:
    """Start everything, give it, and stop it at the end of the block; see `running_stack`.

    Raises:
        PreconditionError: the state folder cannot be made or written, or is in use.
        UnavailableError: a process did not start; the message has its last line.
        StackFailedError: one ended again and again while the block was running.
    """
    try:
        state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = log_file.open("wb", buffering=0)
    except OSError as error:
        raise folder_error(state.path, error) from error
    with log:

        def write_line(name: str, line: str) -> None:
            # Unbuffered: what a full disk did not take must not be tried again at the close.
            log.write(f"{name:>17} {readable(line)}\n".encode())

        async with running_stack(state, options, write_line) as stack, failing_with(stack.runs()):
            yield stack


@asynccontextmanager
async def failing_with(other: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `other` beside the block; when it fails, the block is cancelled and its error raised."""
    own, beside = asyncio.current_task(), asyncio.create_task(other)
    assert own is not None

    def end_block(ended: "asyncio.Task[None]") -> None:
        if not ended.cancelled() and ended.exception() is not None:
            own.cancel()

    beside.add_done_callback(end_block)
    try:
        yield
    except asyncio.CancelledError:
        if beside.done() and (error := beside.exception()) is not None:
            own.uncancel()
            raise error from None
        raise
    finally:
        beside.remove_done_callback(end_block)
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
