"""A stack whose processes write to one log file, so that the terminal is left to its command."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.process_supervisor import LogLine

from modelmill_cli.errors import StackFailedError
from modelmill_cli.stack import Stack, running_stack
from modelmill_cli.stack_log import StackLog
from modelmill_cli.stack_options import StackOptions
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.system_errors import folder_error


@asynccontextmanager
async def logged_stack(
    state: StateFolder,
    options: StackOptions,
    log_file: Path,
    on_line: LogLine = lambda _name, _line: None,
) -> AsyncIterator[Stack]:
    """Start everything, give it, and stop it at the end of the block; see `running_stack`.

    When it fails, the end of the log goes to stderr.

    Args:
        on_line: also hears every line, but for those that come before all is ready.

    Raises:
        PreconditionError: the state folder cannot be made or written, or is in use.
        UnavailableError: a process did not start; the message has its last line.
        StackFailedError: one ended again and again while the block was running.
    """
    try:
        state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = StackLog(log_file)
    except OSError as error:
        raise folder_error(state.path, error) from error
    is_ready = False

    def hear(name: str, line: str) -> None:
        log.write(name, line)
        if is_ready:
            on_line(name, line)

    with log:
        try:
            async with running_stack(state, options, hear) as stack, failing_with(stack.runs()):
                is_ready = True
                yield stack
        except (UnavailableError, StackFailedError):
            if words := log.last_words():
                typer.echo(words, err=True)
            raise


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
